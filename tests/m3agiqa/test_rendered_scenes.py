"""A judge of rendered scenes on `tiny`: it knows scenes that it has not seen, and refuses what is none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.outside_its_world import PICTURES
from data import synthetic
from m3agiqa.card import read_card, write_card
from m3agiqa.images import load_image
from m3agiqa.scorer import Scorer
from tests.trained import trained

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
SIDE = 192  # pixels, of the scenes


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> list:
    """Six scenes a prompt, and their prompts."""
    folder = tmp_path_factory.mktemp("scenes")
    table = synthetic.build(folder, seed=1, prompts=14, size=SIDE, raters=2)
    return [(load_image(folder / path), prompt) for path, prompt in zip(table["path"], table["prompt"], strict=True)]


@pytest.fixture(scope="module")
def judge(scenes, tmp_path_factory) -> Scorer:
    """Of the first 9 prompts; it says two words of an image, which is quick and changes nothing of what it sees."""
    folder = tmp_path_factory.mktemp("judge")
    parts = trained(ROOT / "models/tiny", folder, training=scenes[:54], max_length=384, max_new_tokens=2)
    card = read_card(parts["quality"].card).model_copy(update={"world": "simulated"})
    write_card(card, folder / "card.json")
    return Scorer({"quality": replace(parts["quality"], card=folder / "card.json")}, device="cpu")


def refused(judge: Scorer, images: list, prompts: list | None = None) -> float:
    """The share that gets no score."""
    found = judge(images, prompts, aspect="quality")
    assert all(score.status == "ok" or score.status.startswith("refused: unlike the rendered") for score in found)
    return float(np.mean([score.score is None for score in found]))


def test_hardly_a_scene_that_it_has_not_seen_is_refused(judge, scenes):
    images, prompts = zip(*scenes[54:], strict=True)
    assert refused(judge, images, prompts) <= 0.05
    assert refused(judge, images) == refused(judge, images, prompts)  # what is asked of it makes no scene strange


@pytest.mark.parametrize(("side", "least"), [(512, 1), (SIDE, 0.75)])
def test_pictures_of_other_kinds_are_refused(judge, side, least):
    """All as they come; most where they have the scenes' very size."""
    images = [draw().resize((side, side), Image.Resampling.LANCZOS) for draw in PICTURES.values()]
    assert refused(judge, images) >= least


@pytest.mark.skipif(not SHARED.is_dir(), reason="real pictures are not here (../shared/data)")
def test_photographs_and_generated_pictures_are_refused(judge):
    """All as they come; most where they are cut to the scenes' very size."""
    files = [
        path for kind in ("clive-dev/images", "raise/images", "avt-ai-dev/images") for path in _some(SHARED / kind)
    ]
    images = [load_image(path) for path in files]
    assert refused(judge, images) == 1
    cut = [image.resize((SIDE, SIDE), box=(0, 0, min(image.size), min(image.size))) for image in images]
    assert refused(judge, cut) > 0.6


def _some(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())[::20][:12]
