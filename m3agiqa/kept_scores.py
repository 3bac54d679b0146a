"""Scores of many images, kept by image and read from where they were journalled when they are asked for.

In memory is where each stands: 8 bytes a score, and its name.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from m3agiqa.aspects import Scale
from m3agiqa.image_list import ListedImage
from m3agiqa.journal import Journal
from m3agiqa.score import Interval, Score
from m3agiqa.score_files import Scored


class KeptScores:
    """One aspect's scores, by name, in a journal that stays open; and which of them each of `count` images has.

    They are written in batches, a record a score. A kill can leave the beginning of the last batch: it does not count,
    so that the batch is scored as a whole again, and ends in the same bits.
    """

    def __init__(self, journal: Journal, count: int) -> None:
        self._journal = journal
        self._records = array("Q", bytes(8 * count))  # of each image
        self._named: dict[str, int] = {}
        batch: dict[str, int] = {}
        for number, record in enumerate(journal):
            batch = {} if record["place"] == 0 else batch
            batch[record["name"]] = number
            if record["place"] == record["of"] - 1:
                self._named |= batch

    def __contains__(self, name: str) -> bool:
        return name in self._named

    def add(self, names: Sequence[str], scores: Sequence[Score]) -> None:
        """Write a batch down; by then it survives a power cut."""
        first = self._journal.extend(
            {"name": name, "place": place, "of": len(names), "score": asdict(score)}
            for place, (name, score) in enumerate(zip(names, scores, strict=True))
        )
        self._named |= {name: number for number, name in enumerate(names, start=first)}

    def assign(self, row: int, name: str) -> None:
        """Say which score an image has."""
        self._records[row] = self._named[name]

    def __getitem__(self, row: int) -> Score:
        return _score(self._journal[self._records[row]]["score"])


@dataclass(frozen=True)
class ScoredImages:
    """Images with their scores of each aspect, in order."""

    images: Sequence[ListedImage]
    aspects: Sequence[KeptScores]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> Scored:
        return Scored(self.images[row], [scores[row] for scores in self.aspects])

    def __iter__(self) -> Iterator[Scored]:
        return map(self.__getitem__, range(len(self)))


def _score(record: dict[str, Any]) -> Score:
    """As it was before JSON, which knows no tuples."""
    interval = record["interval"] and Interval(*record["interval"])
    tuples = {"interval": interval, "warnings": tuple(record["warnings"]), "scale": Scale(*record["scale"])}
    return Score(**{**record, **tuples})
