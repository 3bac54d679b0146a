"""Images and prompts in, scores with a reason out, from Python: one judge, loaded once, for as many calls as come.

m3agiqa/judging.py says what happens to a batch; m3agiqa/scored_images.py scores many images and keeps what it found.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from m3agiqa import shipped, turns
from m3agiqa.aspects import ASPECTS
from m3agiqa.batches import batches
from m3agiqa.bundle import open_bundle
from m3agiqa.candidates import Ranked, ranked, spread_of
from m3agiqa.card import Card
from m3agiqa.device import device as where
from m3agiqa.errors import InputError
from m3agiqa.frames import frame_of, pandas
from m3agiqa.given import AnyImage, Opened, listed, rows_of
from m3agiqa.judging import judging, opened
from m3agiqa.overlap import Work, alone, overlapped
from m3agiqa.parts import Networks, Part, Trained, checked
from m3agiqa.ranking import preferred
from m3agiqa.score import Score

AHEAD = 2  # an image's views are cut twice, once for each pass: a batch may be at the one, another at the other


class Scorer:
    """Trained aspects, each loaded when it is first asked for and kept.

    Aspects of one base model share it: it lies in memory once, and each aspect's LoRA matrices beside it. An adapter
    that holds whole modules, too (`modules_to_save`), changes the model itself, and has one of its own. So three
    aspects with such adapters take the memory of three base models; with a large one, make a scorer an aspect and drop
    it before the next, as m3agiqa/scored_images.py does.

    Threads may share a scorer, and take turns at its model. Pickled it is where its parts lie, and loads them again in
    the process that uses it. A forked process may go on with what its parent has loaded, but not on a GPU.
    """

    def __init__(
        self,
        parts: dict[str, Part],
        *,
        device: str = "auto",
        batch: int = 32,
        unfamiliar: bool = False,
        fast: bool = False,
    ) -> None:
        if batch < 1:
            raise InputError(f"a batch of {batch} images, expected 1 or more")
        self.batch = batch
        self.unfamiliar = unfamiliar
        self.fast = fast
        self.device = where(device)
        self._anew = partial(type(self), device=device, batch=batch, unfamiliar=unfamiliar, fast=fast)
        self._parts = parts
        self._networks = Networks(self.device, fast=fast)
        self._loaded: dict[str, Trained] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        parts = {aspect: part.absolute() for aspect, part in self._parts.items()}
        return self._anew, (parts,)

    @classmethod
    def load(
        cls,
        bundle: Path | str | None = None,
        *,
        device: str = "auto",
        batch: int = 32,
        unfamiliar: bool = False,
        fast: bool = False,
    ) -> "Scorer":
        """Open a bundle: a folder, or `hf://owner/name@commit`; without one, the judge that ships with m3agiqa.

        Args:
            bundle: where it is.
            device: "cpu", "cuda", or "auto" for the GPU if there is one.
            batch: images a forward pass.
            unfamiliar: let a judge that knows only rendered scenes score other images, too.
            fast: write no description, and say no word: scores of another head, in a part of the time.

        Raises:
            InputError: no bundle, one of another version, or one with a changed byte.
        """
        place = shipped.judge() if bundle is None else bundle
        return cls(open_bundle(place), device=device, batch=batch, unfamiliar=unfamiliar, fast=fast)

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
        """A score for each image, in order. A path is read a batch before its turn, and not kept.

        Args:
            images: paths, file contents, Pillow's images, arrays or tensors (m3agiqa/arrays.py); in a list, a pandas
                column, whatever has an order, or as one batch (B, H, W, C) of uint8 or (B, C, H, W) of floats.
            prompts: what each image was generated from, by position; None, "" or NaN where that is not known.
            aspect: one of `aspects`. Correspondence is refused where there is no prompt to correspond to.

        Raises:
            InputError: no such aspect here, parts that do not belong together, or one image in place of a list.
        """
        return [scores[aspect] for scores in self._scored(images, prompts, (aspect,))]

    def all(self, images: Iterable[AnyImage], prompts: Iterable[str | None] | None = None) -> list[dict[str, Score]]:
        """A score of each of `aspects` for each image, in order: `scorer.all(images)[0]["quality"]`.

        Each image is read once. The scores are those that a call for each aspect gives, to the last bit.

        Raises:
            InputError: as `__call__`.
        """
        return self._scored(images, prompts, self.aspects)

    def frame(
        self, images: Iterable[AnyImage], prompts: Iterable[str | None] | None = None, *, aspect: str | None = None
    ) -> Any:
        """The scores of all aspects, or of one, as a pandas.DataFrame: a row an image and aspect, in that order.

        Its index is the image's position in `images`; its columns are those of predict's scores.csv (docs/scoring.md),
        with an image that is no path as None.

        Raises:
            InputError: as `__call__`, and where pandas is not installed.
        """
        pandas()  # where there is none, that is known before anything is scored
        pictures, asked = rows_of(images, prompts)
        return frame_of(pictures, asked, self._scored(pictures, asked, (aspect,) if aspect else self.aspects))

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

    def rank(self, images: Iterable[AnyImage], prompt: str | None = None, *, aspect: str) -> list[Ranked]:
        """The place of each image among all of them, candidates for one prompt: m3agiqa/ranking.py says how.

        Raises:
            InputError: as `__call__`, and where the judge had too few images to learn how sure an order is.
        """
        spread = spread_of(self.card(aspect), fast=self.fast)
        pictures = listed(images, "images")
        return ranked(self(pictures, [prompt] * len(pictures), aspect=aspect), spread)

    def compare(self, first: AnyImage, second: AnyImage, prompt: str | None = None, *, aspect: str) -> float:
        """The probability that people prefer the first image; swapped it is one minus that, to the last bit.

        Raises:
            InputError: as `rank`, and where one of them gets no score.
        """
        spread = spread_of(self.card(aspect), fast=self.fast)
        one, other = self.reward([first, second], [prompt, prompt], aspect=aspect).tolist()
        return preferred(one, other, spread)

    def score_batch(self, images: Sequence[AnyImage], prompts: Sequence[str | None], *, aspect: str) -> list[Score]:
        """One forward pass's worth of images; `__call__` makes the batches."""
        return self.judge([Opened.of(*each) for each in zip(images, prompts, strict=True)], aspect=aspect)

    def opened(self, asked: Iterable[tuple[AnyImage, Any]]) -> Iterator[Opened]:
        """Images with their prompts, read; files by a thread ahead of their turn, and never more than a batch ahead."""
        return opened(asked, most=self.batch)

    def judge(self, batch: Sequence[Opened], *, aspect: str) -> list[Score]:
        """`score_batch` of images that are read already: they may be given for one aspect after the other."""
        return alone(self.judging(batch, aspect=aspect))

    def judging(self, batch: Sequence[Opened], *, aspect: str) -> Work[list[Score]]:
        """`judge`, as work of which other threads can do a part (m3agiqa/overlap.py)."""
        return (yield from turns.taken(judging(self.loaded(aspect), batch, unfamiliar=self.unfamiliar)))

    @property
    def threads(self) -> int:
        """That make the inputs of other batches while one is in the model: on a GPU, which else would wait for them."""
        return AHEAD if self.device.startswith("cuda") else 0

    def loaded(self, aspect: str) -> Trained:
        """The parts of `aspect`, loaded on the first call."""
        part = self._part(aspect)
        with turns.lock():
            if aspect not in self._loaded:
                self._loaded[aspect] = self._networks.load(part)
            return self._loaded[aspect]

    def _scored(
        self, images: Iterable[AnyImage], prompts: Iterable[str | None] | None, aspects: Sequence[str]
    ) -> list[dict[str, Score]]:
        """Each image's scores of these aspects."""
        for aspect in aspects:
            self._part(aspect)  # an aspect that is not here is said before anything is read
        pictures, asked = rows_of(images, prompts)
        found: list[dict[str, Score]] = [{} for _ in pictures]
        if not aspects:
            return found
        with turns.lock():
            work = batches(self._part(aspects[0]), pictures, asked, self.batch)
        read = self.opened((pictures[row], asked[row]) for rows in work for row in rows)
        each = (self._each([next(read) for _ in rows], aspects) for rows in work)
        for rows, scores in zip(work, overlapped(each, self.threads), strict=True):
            for aspect in aspects:
                for row, score in zip(rows, scores[aspect], strict=True):
                    found[row][aspect] = score
        return found

    def _each(self, batch: Sequence[Opened], aspects: Sequence[str]) -> Work[dict[str, list[Score]]]:
        """The scores of a batch, by aspect."""
        found = {}
        for aspect in aspects:
            found[aspect] = yield from self.judging(batch, aspect=aspect)
        return found

    def _part(self, aspect: str) -> Part:
        if aspect not in self._parts:
            raise InputError(f"aspect {aspect!r} is not here, only {', '.join(self.aspects) or 'none'}")
        return self._parts[aspect]
