"""One batch through one trained aspect: the pipeline's own path from describe to the head.

The MLLM describes an image, reads its own description, says a word; the head turns the hidden states into a score. The
conversation, the model's inputs and the head are the functions that the stages describe, features and evaluate call.

One image that cannot be scored says why in its status and stops no other. No score is ever made up. What is made of
images before the MLLM sees them can be made by other threads, while it works on another batch (m3agiqa/overlap.py).
"""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from PIL import Image

from m3agiqa.ahead import ahead
from m3agiqa.aspects import MOS_RANGE
from m3agiqa.card import Card
from m3agiqa.card import Interval as SureOf
from m3agiqa.given import AnyImage, Opened
from m3agiqa.head.batch import Batch, Row
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.readings import Inputs, Reading
from m3agiqa.overlap import Work
from m3agiqa.parts import Trained
from m3agiqa.score import Interval, Score, on_scale
from m3agiqa.spans import Span
from m3agiqa.warnings.images import CONTENT, facts, is_far, kinds, strange_pixels
from m3agiqa.warnings.prompts import instructions_in, strange_prompt

OK = "ok"
NO_PROMPT = "refused: correspondence needs the prompt"
REFUSED = (
    "refused: unlike the rendered scenes that are all this judge knows ({}); for real pictures take the judge that "
    "ships, without --dataset or --bundle; --unfamiliar, in Python unfamiliar=True, scores it all the same"
)


def opened(asked: Iterable[tuple[AnyImage, Any]], most: int) -> Iterator[Opened]:
    """Each image with its prompt. Files are decoded by a thread, at `most` so many before they are asked for.

    What is in memory already is taken by the caller's own thread: a tensor may be on a GPU, in a stream of its own.
    """

    def read(each: tuple[AnyImage, Any]) -> Opened | tuple[AnyImage, Any]:
        return Opened.of(*each) if isinstance(each[0], (str, bytes, bytearray, os.PathLike)) else each

    for found in ahead(read, asked, threads=1, most=most):
        yield found if isinstance(found, Opened) else Opened.of(*found)


def judging(trained: Trained, batch: Sequence[Opened], *, unfamiliar: bool) -> Work[list[Score]]:
    """A score for each, in order, from one forward pass where the MLLM takes them together."""
    aspect = trained.card.aspect
    scores: dict[int, Score] = {}
    images: dict[int, Image.Image] = {}
    prompts: dict[int, str] = {}
    for row, given in enumerate(batch):
        if aspect == "correspondence" and given.prompt is not None and not given.prompt.strip():
            scores[row] = Score(aspect, NO_PROMPT)
        elif given.image is None or given.prompt is None:
            scores[row] = Score(aspect, given.failure)
        else:
            images[row], prompts[row] = given.image, given.prompt
    found = yield from _halved(trained, list(images.values()), list(prompts.values()), unfamiliar)
    scores |= zip(images, found, strict=True)
    return [scores[row] for row in range(len(batch))]


def _halved(trained: Trained, images: list[Image.Image], prompts: list[str], unfamiliar: bool) -> Work[list[Score]]:
    """Score a batch; where the MLLM refuses it, halve it until the one that it refuses is alone."""
    if not images:
        return []
    try:
        return (yield from _forward(trained, images, prompts, unfamiliar))
    except ValueError as error:  # ours, or an image processor's own: Qwen's takes no strip 200 times as long as wide
        if len(images) == 1:
            return [Score(trained.card.aspect, f"failed: {error}")]
        half = len(images) // 2
        scores = yield from _halved(trained, images[:half], prompts[:half], unfamiliar)
        return scores + (yield from _halved(trained, images[half:], prompts[half:], unfamiliar))


def _forward(trained: Trained, images: list[Image.Image], prompts: list[str], unfamiliar: bool) -> Work[list[Score]]:
    card = trained.card
    if not card.familiar.prompt_characters.high:  # it has learnt without prompts, and is asked as it has learnt
        prompts = [""] * len(prompts)
    readings = yield from (_look if trained.fast else _read)(trained, images, prompts)
    tensors = Batch.of(reading.row for reading in readings).to(trained.mllm.device).tensors
    with torch.inference_mode():
        predicted = trained.head(*tensors).tolist()  # (B,)
        strangers = is_far(*tensors[:2], card.familiar.content).tolist()
    scores = []
    for image, prompt, reading, score, far in zip(images, prompts, readings, predicted, strangers, strict=True):
        strange = strange_pixels(facts(image), card.familiar.limits) + [CONTENT] * far
        if strange and card.world == "simulated" and not unfamiliar:
            scores.append(Score(card.aspect, REFUSED.format(kinds(strange))))
        else:
            warnings = (*instructions_in(prompt), *strange_prompt(prompt, card.familiar.prompt_characters), *strange)
            scores.append(_score(card, score, reading.said, warnings, card.head_of(fast=trained.fast).interval))
    return scores


class _Read(NamedTuple):
    """What the MLLM makes of an image."""

    row: Row
    said: Reading | None  # of its own description; None where it writes none


def _look(trained: Trained, images: list[Image.Image], prompts: list[str]) -> Work[list[_Read]]:
    """Of the images and a question alone: in the description's place stands the last token, as in what was learnt."""
    card = trained.card
    asked = [conversation(card.aspect, prompt, described=card.described) for prompt in prompts]
    inputs: list[Inputs] = (yield partial(trained.mllm.inputs, images, asked))()
    seen = trained.mllm.look(inputs)
    return [_Read(Row("", states, Span(len(states) - 1, len(states))), None) for states in seen]


def _read(trained: Trained, images: list[Image.Image], prompts: list[str]) -> Work[list[_Read]]:
    """Of the images and its own descriptions of them."""
    mllm, card, most = trained.mllm, trained.card, trained.card.max_new_tokens
    asked = [conversation(card.aspect, prompt, described=card.described) for prompt in prompts]
    questions: list[Inputs] = (yield partial(mllm.questions, images, asked, most))()
    rounds = zip(prompts, [written.text for written in mllm.answers(questions, most)], strict=True)
    described = [conversation(card.aspect, *texts, described=card.described) for texts in rounds]
    inputs: list[Inputs] = (yield partial(mllm.inputs, images, described))()
    readings = mllm.read_inputs(inputs)
    return [_Read(Row("", reading.states, reading.description), reading) for reading in readings]


def _score(card: Card, score: float, said: Reading | None, warnings: tuple[str, ...], sure: SureOf) -> Score:
    if not math.isfinite(score):
        return Score(card.aspect, "failed: the model's score is not a finite number")
    lowest, highest = MOS_RANGE
    half = sure.half_width
    low, high = (lowest, highest) if half is None else (score - half, score + half)
    ends = min(max(low, lowest), highest), max(min(high, highest), lowest)
    interval = Interval(*(on_scale(end, card.scale) for end in ends))
    value = on_scale(score, card.scale)
    description = None if said is None else said.fitted.description or ""
    word = said.word if said and card.word_tells else None
    percentile = card.percentile(score)
    return Score(card.aspect, OK, value, interval, word, description, warnings, card.scale, percentile)
