"""The judge that ships, itself: it is whole, small, and scores a picture out of the box, within time and memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.order_of_effects import degrees, square
from benchmarks.outside_its_world import PICTURES
from m3agiqa import shipped
from m3agiqa.bundle import cards, open_bundle
from m3agiqa.scorer import Scorer

ROOT = Path(__file__).parents[2]
MEGABYTES = 1500
FILE = 95 * 2**20  # bytes, of the largest file that a repository takes without complaint
# The command, and its memory: of a process that begins, the kernel counts the memory of the one that began it.
MEASURED = """
import runpy
runpy.run_module("m3agiqa", run_name="__main__")
kept = dict(line.split(":") for line in open("/proc/self/status"))
open("megabytes", "w").write(str(int(kept["VmHWM"].split()[0]) / 1024))
"""
NOTICED = ("blur", "motion blur", "upscaling", "blocks", "overexposure", "underexposure", "low contrast")
BUNDLES = [ROOT / "models" / name for name in ("judge", "judge-noncommercial")]


@pytest.mark.parametrize("place", BUNDLES, ids=lambda place: place.name)
def test_it_is_whole_and_belongs_to_the_model_that_ships(place):
    assert not (place / "mllm").exists()
    files = [file for folder in (place, ROOT / "models/small") for file in folder.rglob("*") if file.is_file()]
    assert max(file.stat().st_size for file in files) <= FILE
    parts = open_bundle(place)
    assert {card.world for card in cards(parts).values()} == {"real"}
    for aspect in parts:
        assert Scorer(parts, device="cpu").loaded(aspect).card.aspect == aspect  # which checks its identity


def test_what_may_not_be_sold_says_so_and_is_not_what_ships():
    assert "non-commercial" in (BUNDLES[1] / "README.md").read_text(encoding="utf-8")
    assert shipped.judge() == BUNDLES[0]


def test_a_picture_is_scored_out_of_the_box_within_its_memory(tmp_path):
    PICTURES["flat drawn shapes"]().save(tmp_path / "drawing.png")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURED, "predict", "drawing.png", "--device", "cpu"]
    ran = subprocess.run(command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True)
    text = ran.stdout + ran.stderr
    assert ran.returncode == 0, text
    for what in ("drawing.png  (no prompt)", "  quality  ", " to ", "correspondence is left out: it needs a model"):
        assert what in text
    assert float((tmp_path / "megabytes").read_text()) <= MEGABYTES


def test_the_stronger_an_effect_the_lower_the_score():
    """Not of noise, halos, banding and colours: hardly a photograph of those that it learned from has them."""
    temple, _ = load_sample_images().images  # scikit-learn's
    scores = degrees(Scorer.load(device="cpu", batch=8), [square(Image.fromarray(temple), 416)], NOTICED)
    assert (np.diff(scores) < 0).mean() >= 0.9
    assert (scores[:, :, 0] > scores[:, :, 2]).all()
