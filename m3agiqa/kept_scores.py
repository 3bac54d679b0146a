"""Scores of many images, read from where they were journalled when they are asked for: memory stays flat.

In memory is where each stands, 12 bytes a score.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from m3agiqa.aspects import Scale
from m3agiqa.gallery import Scored
from m3agiqa.image_list import ListedImage
from m3agiqa.journal import Journal
from m3agiqa.score import Interval, Score

BATCHES = 512  # in memory, of those read last: some 25 MB


class KeptScores:
    """One aspect's scores of `count` images, in a journal that stays open; a record holds a batch of them."""

    def __init__(self, journal: Journal, count: int) -> None:
        self._journal = journal
        self._records = array("Q", bytes(8 * count))  # of each image, and where in it
        self._places = array("I", bytes(4 * count))
        self._numbers = {record["key"]: number for number, record in enumerate(journal)}
        self._read = lru_cache(maxsize=BATCHES)(journal.__getitem__)

    def has(self, key: str) -> bool:
        """Whether the batch of that name is scored."""
        return key in self._numbers

    def add(self, key: str, scores: Sequence[Score]) -> None:
        """Write a batch down; by then it survives a power cut."""
        self._numbers[key] = self._journal.append({"key": key, "scores": [asdict(score) for score in scores]})

    def assign(self, key: str, rows: Sequence[int]) -> None:
        """Say which images the batch is of."""
        for place, row in enumerate(rows):
            self._records[row], self._places[row] = self._numbers[key], place

    def __getitem__(self, row: int) -> Score:
        return _score(self._read(self._records[row])["scores"][self._places[row]])


@dataclass(frozen=True)
class ScoredImages:
    """Images with their scores of each aspect, in order."""

    images: Sequence[ListedImage]
    aspects: Sequence[KeptScores]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Scored]:
        for row, image in enumerate(self.images):
            yield Scored(image, [scores[row] for scores in self.aspects])


def _score(record: dict[str, Any]) -> Score:
    """As it was before JSON, which knows no tuples."""
    interval = record["interval"] and Interval(*record["interval"])
    tuples = {"interval": interval, "warnings": tuple(record["warnings"]), "scale": Scale(*record["scale"])}
    return Score(**{**record, **tuples})
