"""Best of N with a real pipeline of diffusers, in miniature and with random weights."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from m3agiqa.card import read_card, write_card
from m3agiqa.errors import InputError
from m3agiqa.plugs.diffusers import best_of
from m3agiqa.scorer import Scorer
from tests.tiny_mllm import picture

PROMPTS = ["a red cube", "two balls"]


def settings():
    return {"num_inference_steps": 2, "generator": torch.Generator().manual_seed(0)}


def pixels(image):
    return np.asarray(image).tolist()


def made(*images):
    """A pipeline that makes these, whatever it is asked."""
    return lambda **_: SimpleNamespace(images=list(images))


def test_the_best_of_each_prompts_own_images(pipeline, scorer):
    found = best_of(pipeline, PROMPTS, scorer, count=3, aspect="quality", **settings())
    images = pipeline(PROMPTS, num_images_per_prompt=3, **settings()).images
    for chosen, prompt, its in zip(found, PROMPTS, (images[:3], images[3:]), strict=True):
        ranked = scorer.rank(its, prompt, aspect="quality")
        scores = [each.score.score for each in ranked]
        assert len(set(scores)) == 3
        row = scores.index(max(scores))
        assert pixels(chosen.image) == pixels(its[row])
        assert chosen.score.status == "ok"
        assert chosen.score.score == pytest.approx(scores[row], abs=1e-4)
        assert chosen.probability == pytest.approx(ranked[row].best, abs=1e-3)


def test_a_seed_repeats_it(pipeline, scorer):
    """And the seed alone: another chooses another."""
    first, again = (
        best_of(pipeline, PROMPTS, scorer, count=2, aspect="correspondence", **settings()) for _ in range(2)
    )
    assert [(pixels(image), *others) for image, *others in first] == [
        (pixels(image), *others) for image, *others in again
    ]
    other = settings() | {"generator": torch.Generator().manual_seed(1)}
    assert best_of(pipeline, PROMPTS, scorer, count=2, aspect="correspondence", **other)[0].score != first[0].score


def test_tensors_stay_tensors(pipeline, scorer):
    """As the pipeline gives them, for whoever goes on with them on a GPU."""
    (chosen,) = best_of(pipeline, PROMPTS[:1], scorer, count=2, aspect="quality", output_type="pt", **settings())
    assert chosen.image.shape == (3, 32, 32)
    assert chosen.score.status == "ok"


def test_what_has_no_score_is_not_chosen(scorer):
    (chosen,) = best_of(made(b"no image", picture(1)), ["x"], scorer, count=2, aspect="quality")
    assert chosen.image == picture(1)
    assert chosen.probability == 1
    (nothing,) = best_of(made(b"no image", picture(1)), [""], scorer, count=2, aspect="correspondence")
    assert nothing[0] is nothing.probability is nothing.score.score is None
    assert nothing.score.status.startswith(("refused: ", "failed: "))


def test_of_equal_ones_the_first(scorer):
    one, other = picture(1), picture(1)
    (chosen,) = best_of(made(one, other), ["x"], scorer, count=2, aspect="quality")
    assert chosen.image is one
    assert chosen.probability == pytest.approx(0.5)


def test_what_cannot_be_ranked_is_refused_before_anything_is_made(scorer, parts, tmp_path):
    def refuse(**_):
        raise AssertionError("it makes images")

    card = read_card(parts["quality"].card)
    blind = card.fast_head.model_copy(
        update={"preference": card.fast_head.preference.model_copy(update={"spread": None})}
    )
    write_card(card.model_copy(update={"fast_head": blind}), tmp_path / "card.json")
    cannot = Scorer({"quality": replace(parts["quality"], card=tmp_path / "card.json")}, device="cpu", fast=True)
    with pytest.raises(InputError, match="had too few images to learn how sure an order is"):
        best_of(refuse, ["x"], cannot, count=2, aspect="quality")
    with pytest.raises(InputError, match="aspect 'authenticity' is not here"):
        best_of(refuse, ["x"], scorer, count=2, aspect="authenticity")
    with pytest.raises(InputError, match="the best of 0 images, expected 1 or more"):
        best_of(refuse, ["x"], scorer, count=0, aspect="quality")
    with pytest.raises(InputError, match="prompts: expected a list of them, not a str"):
        best_of(refuse, "a red cube", scorer, count=2, aspect="quality")


def test_images_that_are_missing_are_said(scorer):
    with pytest.raises(InputError, match="1 images were made of 2 prompts, expected 2 of each"):
        best_of(made(picture(1)), PROMPTS, scorer, count=2, aspect="quality")
