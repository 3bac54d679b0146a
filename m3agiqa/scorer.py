"""Images and prompts in, scores with a reason out: the pipeline's own path from describe to the head.

The MLLM describes an image, reads its own description, says a word; the head turns the hidden states into a score. The
conversation, the model's inputs and the head are the functions that the stages describe, features and evaluate call.

One image that cannot be scored says why in its status and stops no other. No score is ever made up.
"""

import math
import os
import threading
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from m3agiqa import shipped
from m3agiqa.aspects import ASPECTS, MOS_RANGE
from m3agiqa.bundle import open_bundle
from m3agiqa.card import Card
from m3agiqa.device import device as where
from m3agiqa.errors import InputError
from m3agiqa.given import AnyImage, listed, open_image, text_of
from m3agiqa.head.batch import Batch, Row
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.readings import Reading
from m3agiqa.parts import Part, Trained, checked, load
from m3agiqa.score import Interval, Score, on_scale
from m3agiqa.warnings.images import CONTENT, facts, is_far, kinds, strange_pixels
from m3agiqa.warnings.prompts import instructions_in, strange_prompt

OK = "ok"
REFUSED = (
    "refused: unlike the rendered scenes that are all this judge knows ({}); for real pictures take the judge that "
    "ships, without --dataset or --bundle; --unfamiliar, in Python unfamiliar=True, scores it all the same"
)

# Threads take turns, of all scorers: while transformers loads a model, it changes torch for the whole process, and a
# model's own insides are for one pass at a time.
_TURN = threading.Lock()


def _in_a_forked_process() -> None:
    """What a thread of the parent held is free, and torch computes in one thread: its others did not come along."""
    global _TURN  # noqa: PLW0603 (there is one)
    _TURN = threading.Lock()
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_in_a_forked_process)


class Scorer:
    """Trained aspects, each loaded when it is first asked for and kept.

    Each has an MLLM of its own: an adapter may replace whole modules, and a head is valid behind exactly what its card
    names. So three aspects take the memory of three base models. With a large one, make a scorer an aspect and drop it
    before the next, as m3agiqa/commands/predict.py does.

    Threads may share a scorer, and take turns at its model. Pickled it is where its parts lie, and loads them again in
    the process that uses it. A forked process may go on with what its parent has loaded, but not on a GPU.
    """

    def __init__(
        self, parts: dict[str, Part], *, device: str = "auto", batch: int = 32, unfamiliar: bool = False
    ) -> None:
        self.batch = batch
        self.unfamiliar = unfamiliar
        self.device = where(device)
        self._asked = device
        self._parts = parts
        self._loaded: dict[str, Trained] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        parts = {aspect: part.absolute() for aspect, part in self._parts.items()}
        return partial(type(self), device=self._asked, batch=self.batch, unfamiliar=self.unfamiliar), (parts,)

    @classmethod
    def load(
        cls, bundle: Path | str | None = None, *, device: str = "auto", batch: int = 32, unfamiliar: bool = False
    ) -> "Scorer":
        """Open a bundle: a folder, or `hf://owner/name@commit`; without one, the judge that ships with m3agiqa.

        Args:
            bundle: where it is.
            device: "cpu", "cuda", or "auto" for the GPU if there is one.
            batch: images a forward pass.
            unfamiliar: let a judge that knows only rendered scenes score other images, too.

        Raises:
            InputError: no bundle, one of another version, or one with a changed byte.
        """
        place = shipped.judge() if bundle is None else bundle
        return cls(open_bundle(place), device=device, batch=batch, unfamiliar=unfamiliar)

    @property
    def aspects(self) -> tuple[str, ...]:
        """What can be asked for."""
        return tuple(aspect for aspect in ASPECTS if aspect in self._parts)

    def card(self, aspect: str) -> Card:
        """What is known of a trained aspect."""
        return checked(self._part(aspect))

    def __call__(
        self, images: Iterable[AnyImage], prompts: Iterable[str | None] | None = None, *, aspect: str
    ) -> list[Score]:
        """A score for each image, in order. A path is read when its batch comes, and not kept.

        Args:
            images: paths, file contents, Pillow's images, arrays or tensors (m3agiqa/arrays.py); in a list, a pandas
                column, whatever has an order, or as one batch (B, H, W, C) of uint8 or (B, C, H, W) of floats.
            prompts: what each image was generated from, by position; None, "" or NaN where that is not known.
            aspect: one of `aspects`. Correspondence is refused where there is no prompt to correspond to.

        Raises:
            InputError: no such aspect here, parts that do not belong together, or one image in place of a list.
        """
        pictures = listed(images, "images")
        asked = listed(prompts, "prompts") if prompts is not None else [None] * len(pictures)
        if len(asked) != len(pictures):
            raise ValueError(f"{len(pictures)} images and {len(asked)} prompts")
        scores: dict[int, Score] = {}
        for rows in batches([prompt if isinstance(prompt, str) else "" for prompt in asked], self.batch):
            found = self.score_batch([pictures[row] for row in rows], [asked[row] for row in rows], aspect=aspect)
            scores.update(zip(rows, found, strict=True))
        return [scores[row] for row in range(len(pictures))]

    def reward(
        self, images: Iterable[AnyImage], prompts: Iterable[str | None] | None = None, *, aspect: str
    ) -> torch.Tensor:
        """The scores alone, (B,) on 0 to 5, on the device of the images where they are a tensor, else on the CPU.

        For training loops: the same images and prompts in the same batch give the same numbers. No gradient flows
        through them; warnings are not looked at.

        Raises:
            InputError: as `__call__`, and where an image gets no score, saying which and why.
        """
        device = images.device if isinstance(images, torch.Tensor) else "cpu"
        scores = self(images, prompts, aspect=aspect)
        for row, score in enumerate(scores):
            if score.score is None:
                raise InputError(f"image {row}: {score.status}")
        return torch.tensor([score.score_0_5 for score in scores], dtype=torch.float32, device=device)

    def score_batch(self, images: Sequence[AnyImage], prompts: Sequence[str | None], *, aspect: str) -> list[Score]:
        """One forward pass's worth of images; `__call__` makes the batches."""
        trained = self.loaded(aspect)
        scores: dict[int, Score] = {}
        opened: dict[int, Image.Image] = {}
        texts: dict[int, str] = {}
        for row, (image, prompt) in enumerate(zip(images, prompts, strict=True)):
            try:
                text = text_of(prompt)
                if aspect == "correspondence" and not text.strip():
                    scores[row] = Score(aspect, "refused: correspondence needs the prompt")
                else:
                    opened[row], texts[row] = open_image(image), text
            except InputError as error:
                scores[row] = Score(aspect, f"failed: {error}")
        with _TURN:
            found = _scored(trained, list(opened.values()), list(texts.values()), self.unfamiliar)
        scores |= zip(opened, found, strict=True)
        return [scores[row] for row in range(len(images))]

    def loaded(self, aspect: str) -> Trained:
        """The parts of `aspect`, loaded on the first call."""
        part = self._part(aspect)
        with _TURN:
            if aspect not in self._loaded:
                self._loaded[aspect] = load(part, self.device)
            return self._loaded[aspect]

    def _part(self, aspect: str) -> Part:
        if aspect not in self._parts:
            raise InputError(f"aspect {aspect!r} is not here, only {', '.join(self.aspects) or 'none'}")
        return self._parts[aspect]


def batches(prompts: Sequence[str], size: int) -> list[list[int]]:
    """Rows by length of prompt, `size` at a time: little padding. The same prompts make the same batches."""
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    return [order[start : start + size] for start in range(0, len(order), size)]


def _scored(trained: Trained, images: list[Image.Image], prompts: list[str], unfamiliar: bool) -> list[Score]:
    """Score a batch; where the MLLM refuses it, halve it until the one that it refuses is alone."""
    if not images:
        return []
    try:
        return _forward(trained, images, prompts, unfamiliar)
    except ValueError as error:  # ours, or an image processor's own: Qwen's takes no strip 200 times as long as wide
        if len(images) == 1:
            return [Score(trained.card.aspect, f"failed: {error}")]
        half = len(images) // 2
        parts = (images[:half], prompts[:half]), (images[half:], prompts[half:])
        return [score for part in parts for score in _scored(trained, *part, unfamiliar)]


def _forward(trained: Trained, images: list[Image.Image], prompts: list[str], unfamiliar: bool) -> list[Score]:
    card = trained.card
    if not card.familiar.prompt_characters.high:  # it has learnt without prompts, and is asked as it has learnt
        prompts = [""] * len(prompts)
    readings = _read(trained, images, prompts)
    rows = (Row(str(row), reading.states, reading.description) for row, reading in enumerate(readings))
    tensors = Batch.of(rows).to(trained.mllm.device).tensors
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
            scores.append(_score(card, score, reading, warnings))
    return scores


def _read(trained: Trained, images: list[Image.Image], prompts: list[str]) -> list[Reading]:
    """What the MLLM makes of the images and its own descriptions of them."""
    mllm, aspect = trained.mllm, trained.card.aspect
    questions = [conversation(aspect, prompt) for prompt in prompts]
    descriptions = mllm.describe(images, questions, trained.card.mllm.max_new_tokens)
    rounds = zip(prompts, descriptions, strict=True)
    return mllm.read(images, [conversation(aspect, prompt, text) for prompt, text in rounds])


def _score(card: Card, score: float, reading: Reading, warnings: tuple[str, ...]) -> Score:
    if not math.isfinite(score):
        return Score(card.aspect, "failed: the model's score is not a finite number")
    lowest, highest = MOS_RANGE
    half = card.interval.half_width
    low, high = (lowest, highest) if half is None else (score - half, score + half)
    ends = min(max(low, lowest), highest), max(min(high, highest), lowest)
    interval = Interval(*(on_scale(end, card.scale) for end in ends))
    value = on_scale(score, card.scale)
    description = reading.fitted.description or ""
    word = reading.word if card.word_tells else None
    return Score(card.aspect, OK, value, interval, word, description, warnings, card.scale)
