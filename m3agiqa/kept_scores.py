"""Scores of many images, read from where they were journalled when they are asked for: memory stays flat.

In memory is where each stands, 8 bytes a score.
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
    """One aspect's scores of `count` images, in a journal that stays open.

    They are scored in batches, and a batch is written at once, a record a score. A kill can leave the beginning of the
    last one: it does not count.
    """

    def __init__(self, journal: Journal, count: int) -> None:
        self._journal = journal
        self._records = array("Q", bytes(8 * count))  # of each image
        self._firsts = {record["batch"]: number for number, record in enumerate(journal) if record["place"] == 0}

    def has(self, batch: str, size: int) -> bool:
        """Whether the batch of that name is scored."""
        last = self._firsts.get(batch, len(self._journal)) + size - 1
        return last < len(self._journal) and self._journal[last]["batch"] == batch

    def add(self, batch: str, scores: Sequence[Score]) -> None:
        """Write a batch down; by then it survives a power cut."""
        self._firsts[batch] = self._journal.extend(
            {"batch": batch, "place": place, "score": asdict(score)} for place, score in enumerate(scores)
        )

    def assign(self, batch: str, rows: Sequence[int]) -> None:
        """Say which images the batch is of."""
        for record, row in enumerate(rows, start=self._firsts[batch]):
            self._records[row] = record

    def __getitem__(self, row: int) -> Score:
        return _score(self._journal[self._records[row]]["score"])


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
