"""What is asked of a batch, and what is told of it: by the process that asks, or by others (workers.py, cluster.py)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import tee
from pathlib import Path
from typing import NamedTuple

from m3agiqa.given import Opened
from m3agiqa.overlap import Work, overlapped
from m3agiqa.score import Score
from m3agiqa.scorer import Scorer

Told = dict[str, dict[int, Score]]  # by aspect, the scores of the images that were to have one, by place in the batch


class Asked(NamedTuple):
    """A batch. It is small enough to travel: the pixels stay on the disk."""

    rows: Sequence[int]  # which images they are, for who asks
    images: Sequence[tuple[Path, str]]  # with their prompts
    aspects: Sequence[Sequence[str]]  # that each of them is to have a score of


Tell = Callable[[Iterable[Asked]], Iterator[tuple[Asked, Told]]]  # of all batches, in whatever order
Teller = Callable[[Scorer], AbstractContextManager[Tell]]  # who scores with copies of a scorer, while the context lasts


def telling(scorer: Scorer, opened: Sequence[Opened], aspects: Sequence[Sequence[str]]) -> Work[Told]:
    """The scores of a batch that is read."""
    found: Told = {}
    for aspect in scorer.aspects:
        if places := [place for place, wanted in enumerate(aspects) if aspect in wanted]:
            scores = yield from scorer.judging([opened[place] for place in places], aspect=aspect)
            found[aspect] = dict(zip(places, scores, strict=True))
    return found


def told_here(scorer: Scorer, work: Iterable[Asked]) -> Iterator[tuple[Asked, Told]]:
    """The scores of each batch, in order, by this process; the next is read meanwhile."""
    work, later, told = tee(work, 3)
    read = scorer.opened(image for asked in later for image in asked.images)
    each = (telling(scorer, [next(read) for _ in asked.images], asked.aspects) for asked in work)
    return zip(told, overlapped(each, scorer.threads), strict=True)
