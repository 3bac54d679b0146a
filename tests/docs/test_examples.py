"""The programs in examples/, on a bundle with a real vision-language model in miniature."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from transformers import logging

from m3agiqa import Scorer, bundle
from m3agiqa.model_card import render
from tests import tiny_mllm
from tests.tiny_mllm import picture
from tests.trained import rated_on, trained

logging.disable_progress_bar()
EXAMPLES = Path(__file__).parents[2] / "examples"
NUMBER = r"-?\d+\.\d\d"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Read-only: a bundle with quality and correspondence, which holds all that it needs."""
    folder = tmp_path_factory.mktemp("bundle")
    parts = trained(tiny_mllm.smolvlm(folder / "smolvlm"), folder, ("quality", "correspondence"))
    parts["correspondence"] = rated_on((0, 100), parts["correspondence"], folder)
    bundle.pack(parts, folder / "packed", render(bundle.cards(parts)))
    (folder / "smolvlm").rename(folder / "gone")
    return folder / "packed"


@pytest.fixture
def images(tmp_path):
    for number in range(4):
        picture(50 + number).save(tmp_path / f"{number}.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "0.png").read_bytes()[:90])
    return tmp_path


@pytest.fixture
def run(monkeypatch, capsys):
    """Run an example as a program; the lines that it prints."""

    def run(name, *given):
        monkeypatch.setattr(sys, "argv", [name, *map(str, given)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def test_the_worst_of_a_folder_come_first(run, packed, images):
    lines = run("score_folder.py", images, "--worst", 3, "--bundle", packed)
    found = [re.match(rf"({NUMBER}) \({NUMBER} to {NUMBER}\)  \d\.png: ", line) for line in lines[:6:2]]
    scores = [float(match[1]) for match in found]
    assert scores == sorted(scores)
    assert all(re.fullmatch(r" +better than \d+ % of the training images", line) for line in lines[1:6:2])
    assert [line.partition(":")[0] for line in lines[6:]] == ["no score  torn.png"]


@pytest.mark.parametrize(("given", "aspect"), [((), "quality"), (("--aspect", "correspondence"), "correspondence")])
def test_candidates_are_ranked(run, packed, images, given, aspect):
    candidates = sorted(images.glob("*.png"))
    lines = run("rank_candidates.py", "a red cube", *candidates, "--bundle", packed, *given)
    judged = Scorer.load(packed).rank(candidates, "a red cube", aspect=aspect)
    told = sorted((-each.score.score, str(image), each) for image, each in zip(candidates[:4], judged, strict=False))
    expected = [f"{each.rank}.  {each.best:4.0%}  {each.score.score:.2f}  {image}" for _, image, each in told]
    assert lines[:4] == expected
    assert re.match(r"-\.  .*torn\.png: failed: ", lines[4])


def test_the_loop_learns_and_a_seed_repeats_it(run, packed, images):
    given = "a red cube", images / "1.png", "--steps", 4, "--samples", 4, "--bundle", packed
    lines = run("training_loop.py", *given)
    found = [re.match(rf"step \d: reward {NUMBER}; brightness, contrast, colour (.*)", line) for line in lines]
    strengths = [match[1] for match in found]
    assert len(strengths) == len(set(strengths)) == 4  # it moves
    assert run("training_loop.py", *given) == lines  # and by a seed


def test_no_score_is_no_reward(run, packed, images):
    with pytest.raises(ValueError, match=r"torn\.png"):
        run("training_loop.py", "a red cube", images / "torn.png", "--bundle", packed)
