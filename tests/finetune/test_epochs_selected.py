"""Which epoch of a distillation is kept: what val says of each, and that the settings decide."""

import numpy as np
import pytest
import torch

from evaluation.metrics import srcc
from finetune.distill.rating import Rated, rating
from m3agiqa.mllm.conversation import RATING_WORDS, conversation, word_of
from tests.distilled import IMAGES, run, student
from tests.tiny_mllm import middle

# Prose that nobody teaches, and a word that is taught in part: where the loss is lowest, the rating is not at its best.
VAL = [
    (
        image,
        conversation(
            "quality", f"{i} cubes", "Zq#7 @@" + "W" * i, ("bad", "poor", "good", "excellent")[i % 2 * 2 + i // 2 % 2]
        ),
    )
    for i, image in enumerate(IMAGES[10:])
]


def read(model, folder):
    """What a judge with the kept adapter says of the val images: word accuracy, and SRCC of the expected word."""
    chats = [chat[:-1] for _, chat in VAL]
    readings = student(model, adapter=folder / "adapter").read([image for image, _ in VAL], chats)
    mos = [middle(chat[-1]["content"][0]["text"]) for _, chat in VAL]
    right = np.mean([reading.word == word_of(score) for reading, score in zip(readings, mos, strict=True)])
    return right, srcc([reading.expected for reading in readings], mos)


def test_val_is_rated_as_a_judge_rates(model, tmp_path):
    (last,) = run(model, tmp_path, val=VAL, epochs=1).dropna().itertuples()
    assert (last.val_word_accuracy, last.val_srcc) == pytest.approx(read(model, tmp_path), abs=1e-6)


@pytest.mark.parametrize("select", ["loss", "word_accuracy", "srcc"])
def test_the_epoch_is_the_one_that_is_asked_for(model, tmp_path, select):
    epochs = run(model, tmp_path, val=VAL, epochs=8, lr=2e-2, warmup=0.0, select=select).dropna()
    sign = -1 if select == "loss" else 1
    best = epochs.assign(worth=sign * epochs[f"val_{select}"]).sort_values(
        ["worth", "val_loss"], ascending=[False, True]
    )
    kept = best.iloc[0]
    assert (kept.val_word_accuracy, kept.val_srcc) == pytest.approx(read(model, tmp_path), abs=1e-6)
    assert (kept.step == epochs.step[epochs.val_loss.idxmin()]) == (select == "loss")


def test_a_rating_that_cannot_be_told_is_no_number():
    even = torch.zeros(4, len(RATING_WORDS))
    assert np.isnan(rating(Rated(even, torch.tensor([1.0, 2.0, 3.0, 4.0]))).srcc)
    assert np.isnan(rating(Rated(even * torch.nan, torch.ones(4))).word_accuracy)
