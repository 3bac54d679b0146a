"""Batches of like length: of images in many views as of long texts, and as before where all images are alike."""

import pandas as pd
import pytest

from finetune.distill.examples import Examples
from finetune.distill.order import order
from tests import tiny_minicpm
from tests.tiny_mllm import collator, load, picture

SIZES = [(28, 28), (90, 60), (140, 140), (56, 28)]
BATCH = 4


@pytest.fixture
def mllm(tmp_path):
    return load(tiny_minicpm.minicpm(tmp_path / "model"), max_length=512)


def examples_of(folder, sizes):
    """One each, in no order; every fifth explanation is longer."""
    rows = []
    for number, size in enumerate(sizes):
        picture(number, *size).save(folder / f"{number}.png")
        text = "It is sharp." * (3 if number % 5 == 0 else 1)
        rows.append({"path": f"{number}.png", "prompt": "", "quality": text, "mos_quality": 3.0})
    return Examples(folder, "quality", pd.DataFrame(rows))


def padding(mllm, examples, lengths):
    """Of the run's batches, how many times the tokens there are."""
    given = learned = 0
    found = order(lengths, 2, BATCH, seed=0)
    for at in range(0, len(found), BATCH):
        for tensors in collator(mllm)([examples[row] for row in found[at : at + BATCH]]):
            given += tensors["attention_mask"].numel()
            learned += int(tensors["attention_mask"].sum())
    return given / learned


def test_images_in_as_many_views_are_learned_from_together(mllm, tmp_path):
    examples = examples_of(tmp_path, [SIZES[7 * number % 12 % 4] for number in range(48)])
    lengths = examples.lengths(mllm.fitter)
    texts = [len(text) for text in examples.rows["quality"]]
    assert len({mllm.fitter.chat.image_length(size) for size in SIZES}) > 2
    together, apart = padding(mllm, examples, lengths), padding(mllm, examples, texts)
    assert together < 1.1
    assert apart - 1 > 2 * (together - 1)


def test_images_that_are_alike_change_no_order(mllm, tmp_path):
    examples = examples_of(tmp_path, SIZES[:1] * 48)
    texts = [len(text) for text in examples.rows["quality"]]
    assert order(examples.lengths(mllm.fitter), 2, BATCH, seed=0) == order(texts, 2, BATCH, seed=0)
