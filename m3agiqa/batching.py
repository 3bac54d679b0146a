"""Images of many callers, scored together: one thread has the model, takes what waits, and answers each on its own.

What waits is bounded twice. A caller first asks for places, and is refused at once where there are not enough: nobody
waits long for nothing. An image that is decoded then waits until the pixels of all that are held leave it room: small
files that hide huge pictures cannot fill the memory.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from math import ceil
from typing import NamedTuple

from PIL import Image

from m3agiqa.score import Score
from m3agiqa.scorer import Scorer

LINGER = 0.005  # seconds that the first image of a batch waits for others; a forward pass takes 20 times that and more
UNEXPECTED = "failed: the server could not score this image; its log says why"  # the reason may name its files

log = logging.getLogger(__name__)

Scores = dict[str, Score]  # by aspect


class Full(Exception):  # noqa: N818 (like queue.Full)
    """No place for so many images now; `seconds` is when to ask again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many images wait already; ask again in {seconds} s")
        self.seconds = seconds


class _Waiting(NamedTuple):
    image: Image.Image
    prompt: str
    aspects: Sequence[str]
    answer: Future[Scores]

    @property
    def pixels(self) -> int:
        return self.image.width * self.image.height


class Batcher:
    """Gathers images into batches of at most `scorer.batch` for the one thread that uses the scorer."""

    def __init__(
        self,
        scorer: Scorer,
        *,
        places: int,
        pixels: int,
        watch: Callable[[int, float], None] = lambda _images, _seconds: None,
    ) -> None:
        """Start the thread.

        Args:
            scorer: what scores; nothing else may use it while this does, or it waits for its turn.
            places: images that callers may have here at the same time, 1 or more.
            pixels: of all images that wait or are being scored; one that is larger is let in alone.
            watch: told the images and the seconds of each batch.
        """
        self.scorer = scorer
        self.places, self.pixels = places, pixels
        self._watch = watch
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []  # in the order in which they came
        self._taken = self._held = 0  # places, pixels
        self._closing = False
        self._seconds = 0.0  # that the last batch took
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def taken(self) -> int:
        """Places that callers have now, from 0 to `places`."""
        return self._taken

    @property
    def running(self) -> bool:
        """Whether an image that comes now would be scored."""
        return self._thread.is_alive() and not self._closing

    @contextmanager
    def admitted(self, images: int) -> Iterator[None]:
        """Places for so many images, until the caller is done with them.

        Raises:
            Full: not so many are free, or it is being closed.
        """
        with self._changed:
            if self._closing or self._taken + images > self.places:
                raise Full(max(1, ceil(self._seconds)))  # by then a batch of places is free again
            self._taken += images
        try:
            yield
        finally:
            with self._changed:
                self._taken -= images

    def put(self, image: Image.Image, prompt: str, aspects: Sequence[str]) -> Future[Scores]:
        """Have an image scored; this waits until there is room for its pixels. No thread that answers may call it.

        Raises:
            Full: it is being closed.
        """
        item = _Waiting(image, prompt, aspects, Future())
        with self._changed:
            self._changed.wait_for(lambda: self._closing or not self._held or self._held + item.pixels <= self.pixels)
            if self._closing:
                raise Full(1)
            self._held += item.pixels
            self._waiting.append(item)
            self._changed.notify_all()
        return item.answer

    def close(self) -> None:
        """Take no more, answer what waits, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while self._one_batch():  # a call each: while the next is waited for, no image of the last one is kept
            pass

    def _one_batch(self) -> bool:
        """Score what waits; False once nothing will come any more."""
        batch = self._next()
        if not batch:
            return False
        wanted = [item for item in batch if item.answer.set_running_or_notify_cancel()]
        begun = time.perf_counter()
        found: list[Scores] = [{} for _ in wanted]
        for aspect in self.scorer.aspects:
            rows = [row for row, item in enumerate(wanted) if aspect in item.aspects]
            for row, score in zip(rows, self._scored([wanted[row] for row in rows], aspect), strict=True):
                found[row][aspect] = score
        self._seconds = time.perf_counter() - begun
        self._watch(len(wanted), self._seconds)
        with self._changed:
            self._held -= sum(item.pixels for item in batch)
            self._changed.notify_all()
        for item, scores in zip(wanted, found, strict=True):
            item.answer.set_result(scores)
        return True

    def _next(self) -> list[_Waiting]:
        """The one that has waited longest, and those whose prompts are most like its in length: little padding."""
        size = self.scorer.batch
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.wait_for(lambda: len(self._waiting) >= size or self._closing, timeout=LINGER)
            lengths = [len(item.prompt) for item in self._waiting]
            alike = sorted(
                range(len(lengths)), key=lambda place: abs(lengths[place] - lengths[0])
            )  # ties stay in order
            chosen = set(alike[:size])
            taken = [item for place, item in enumerate(self._waiting) if place in chosen]
            self._waiting = [item for place, item in enumerate(self._waiting) if place not in chosen]
            return taken

    def _scored(self, items: Sequence[_Waiting], aspect: str) -> list[Score]:
        """One pass; where it ends in an error, halves, so that what one caller sent spoils nothing of another's."""
        if not items:
            return []
        try:
            images, prompts = [item.image for item in items], [item.prompt for item in items]
            return self.scorer.score_batch(images, prompts, aspect=aspect)
        except Exception:  # (whatever it is, others wait for this thread)
            if len(items) == 1:
                log.exception("an image of %d x %d could not be scored", *items[0].image.size)
                return [Score(aspect, UNEXPECTED)]
        half = len(items) // 2
        return [score for part in (items[:half], items[half:]) for score in self._scored(part, aspect)]
