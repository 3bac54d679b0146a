"""Where each image of a store lies, and its shape: a row of small numbers an image, so that a million fit anywhere."""

from collections.abc import Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from m3agiqa.spans import Span

COLUMNS = ["image_id", "tokens", "dim", "dtype", "description_start", "description_end"]


class Location(NamedTuple):
    """Of one image's states."""

    part: int  # the number of the file
    group: int  # of rows in it, which one read fetches
    row: int  # of the group
    tokens: int
    description: Span


class PartIndex(NamedTuple):
    """What one file tells of its images."""

    ids: list[str]
    numbers: NDArray[np.int32]  # (N, 6): what a Location has, the span as two
    shapes: set[tuple[int, str]]  # width and type of the states: one in a whole store


def read_index(file: pq.ParquetFile, part: int) -> PartIndex:
    """The columns of numbers, in one read. Raises KeyError where one is missing."""
    table = file.read(COLUMNS, use_threads=False)
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    groups = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.arange(len(groups)) - np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
    spans = [table[name] for name in ("tokens", "description_start", "description_end")]
    numbers = np.column_stack([np.full(len(groups), part), groups, rows, *spans]).astype(np.int32)
    shapes = set(zip(table["dim"].to_pylist(), table["dtype"].to_pylist(), strict=True))
    return PartIndex(table["image_id"].to_pylist(), numbers, shapes)


class Index:
    """The locations of a whole store, by image."""

    def __init__(self, parts: Sequence[PartIndex]) -> None:
        self.rows = {image_id: row for row, image_id in enumerate(name for part in parts for name in part.ids)}
        self.numbers = np.concatenate([part.numbers for part in parts])
        self.shapes = sorted(set().union(*(part.shapes for part in parts)))

    def __getitem__(self, image_id: str) -> Location:
        """Raises KeyError for an image that is not in the store."""
        part, group, row, tokens, *description = self.numbers[self.rows[image_id]].tolist()
        return Location(part, group, row, tokens, Span(*description))

    def without_descriptions(self) -> "Index":
        """The same images, each sequence ended before its description, whose place its last token takes."""
        cut = copy(self)
        starts = self.numbers[:, 4]
        cut.numbers = np.column_stack([self.numbers[:, :3], starts, starts - 1, starts])
        return cut

    @property
    def tokens(self) -> NDArray[Any]:
        """(N,): the length of each image's sequence."""
        return self.numbers[:, 3]
