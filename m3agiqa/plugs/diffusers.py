"""Best of N for a pipeline of diffusers: several images of each prompt are made, and the one that the judge puts first
comes back, with its score and how sure one may be of the choice.

It stands around the pipeline and not in it: a callback at the end of a step sees latents, and what makes pictures of
those differs from pipeline to pipeline. All that it relies on is that a pipeline takes `num_images_per_prompt` and
gives `images`, those of the first prompt first.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from m3agiqa.candidates import Ranked, ranked, spread_of
from m3agiqa.errors import InputError
from m3agiqa.given import AnyImage, listed
from m3agiqa.score import Score
from m3agiqa.scorer import Scorer


class Best(NamedTuple):
    """What was chosen for a prompt. Where no image has a score, `score.status` says why, and all else is None."""

    image: "AnyImage | None"
    score: Score
    probability: float | None  # to be the best of all that were made, 0 to 1: m3agiqa/ranking.py


def best_of(
    pipeline: Callable[..., Any],
    prompts: Iterable[str],
    scorer: Scorer,
    *,
    count: int,
    aspect: str,
    **settings: Any,
) -> list[Best]:
    """The best of `count` images of each prompt, in order; of equal ones the first.

    Args:
        pipeline: one of diffusers' that makes images of texts, or whatever is called as they are.
        prompts: what the images are to show.
        scorer: one with fast=True is enough: nobody reads descriptions here.
        count: images of each prompt, 1 or more; all are made in one call of the pipeline.
        aspect: one of the scorer's.
        settings: what else the pipeline is called with, such as `generator` and `num_inference_steps`.

    Raises:
        InputError: no such aspect, or a judge that had too few images to learn how sure an order is: before any image
            is made. Not as many images as were asked for.
    """
    if count < 1:
        raise InputError(f"the best of {count} images, expected 1 or more")
    spread = spread_of(scorer.card(aspect), fast=scorer.fast)
    asked = listed(prompts, "prompts")
    images = listed(pipeline(prompt=asked, num_images_per_prompt=count, **settings).images, "images")
    if len(images) != count * len(asked):
        raise InputError(f"{len(images)} images were made of {len(asked)} prompts, expected {count} of each")
    scores = scorer(images, [prompt for prompt in asked for _ in range(count)], aspect=aspect)
    rows = [slice(start, start + count) for start in range(0, len(images), count)]
    return [_best(images[each], ranked(scores[each], spread)) for each in rows]


def _best(images: list[AnyImage], candidates: list[Ranked]) -> Best:
    found = [
        (candidate.score.score_0_5, row)
        for row, candidate in enumerate(candidates)
        if candidate.score.score_0_5 is not None
    ]
    if not found:
        return Best(None, candidates[0].score, None)
    _, row = max(found, key=lambda each: each[0])
    return Best(images[row], candidates[row].score, candidates[row].best)
