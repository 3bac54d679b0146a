"""Rows of numbers, one an image, in a file: they grow with the images, and memory must not."""

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from evaluation.ridge import Chosen


class RowsOnDisk:
    """(N, D) float32: what is asked for is read, and nothing else is in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self.shape = (0, 0)
        self._file = file

    def add(self, row: NDArray[np.float32]) -> None:
        """(D,), as long as the others."""
        rows, columns = self.shape
        if rows and len(row) != columns:
            raise ValueError(f"expected {columns} numbers a row, got {len(row)}")
        self._file.write(np.asarray(row, np.float32).tobytes())
        self.shape = (rows + 1, len(row))

    def __getitem__(self, rows: Chosen) -> NDArray[Any]:
        self._file.flush()
        found = np.memmap(self._file, np.float32, "r", shape=self.shape)[rows]
        return np.array(found) if isinstance(rows, slice) else np.asarray(found)  # a copy: the map goes, and its pages
