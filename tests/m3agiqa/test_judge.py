"""The judge that ships, itself: it is whole, small, and scores a picture out of the box, within time and memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.outside_its_world import PICTURES
from finetune.pretrain.small.effects import EFFECTS, apply
from m3agiqa import shipped
from m3agiqa.bundle import cards, open_bundle
from m3agiqa.scorer import Scorer

ROOT = Path(__file__).parents[2]
CPU_SECONDS = 15  # the first image, start included, on one core
MEGABYTES = 1500
FILE = 95 * 2**20  # bytes, of the largest file that a repository takes without complaint
NOTICED = ("blur", "motion blur", "upscaling", "blocks", "overexposure", "underexposure", "low contrast")
BUNDLES = [ROOT / "models" / name for name in ("judge", "judge-noncommercial")]

pytestmark = pytest.mark.skipif(not BUNDLES[0].exists(), reason="models/judge is not in this checkout")


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


def test_a_picture_is_scored_out_of_the_box_within_time_and_memory(tmp_path):
    PICTURES["flat drawn shapes"]().save(tmp_path / "drawing.png")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "m3agiqa", "predict", "drawing.png", "--device", "cpu"]
    with (tmp_path / "said").open("w") as said:
        ran = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(ran.pid, 0)
        ran.returncode = os.waitstatus_to_exitcode(status)
    text = (tmp_path / "said").read_text()
    assert ran.returncode == 0, text
    for what in ("drawing.png  (no prompt)", "  quality  ", " to ", "correspondence is left out: it needs a model"):
        assert what in text
    assert used.ru_utime + used.ru_stime <= CPU_SECONDS
    assert used.ru_maxrss / 1024 <= MEGABYTES


@pytest.fixture(scope="module")
def scored():
    """Two photographs, and what each effect of clear and of strong degree makes of them: their scores of quality."""
    dice = torch.Generator().manual_seed(0)
    pictures = []
    for photograph in load_sample_images().images:  # scikit-learn's: a temple and a flower, 640 x 427
        square = torch.tensor(photograph[:416, 112:528]).permute(2, 0, 1)[None].float() / 255
        pictures.append(square[0])
        for name in NOTICED:
            strengths = {each: torch.tensor([0.5, 1.0] if each == name else [0.0, 0.0]) for each in EFFECTS}
            pictures += apply(square.expand(2, -1, -1, -1), strengths, dice)
    images = [Image.fromarray((each * 255).round().byte().permute(1, 2, 0).numpy()) for each in pictures]
    scores = [score.score for score in Scorer.load(device="cpu", batch=8)(images, aspect="quality")]
    return np.array(scores).reshape(2, -1)  # a row a photograph: as it is, then two degrees of each effect


def test_the_stronger_an_effect_the_lower_the_score(scored):
    """Not of noise, halos, banding and colours: hardly a photograph of those that it learned from has them."""
    clean, degrees = scored[:, :1], scored[:, 1:].reshape(2, len(NOTICED), 2)
    held = np.concatenate([(clean > degrees[:, :, 0]).ravel(), (degrees[:, :, 0] > degrees[:, :, 1]).ravel()])
    assert held.mean() >= 0.9
    assert (clean > degrees[:, :, 1]).all()
