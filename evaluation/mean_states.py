"""Each image's hidden states, averaged over its tokens, in a file: they grow with the images, and memory must not."""

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from data.feature_store.store import FeatureStore
from evaluation.ridge import Chosen
from m3agiqa.progress import Progress, silent


class MeanStates:
    """(N, D) float32: what is asked for by row is read, and nothing else is in memory."""

    def __init__(self, file: BinaryIO, columns: int) -> None:
        self.shape = (0, columns)
        self._file = file

    def add(self, store: FeatureStore, image_ids: Sequence[str], progress: Progress = silent) -> None:
        """A row an image, one image's states in memory at a time."""
        self._file.seek(0, 2)
        for image_id in progress(image_ids, total=len(image_ids), desc="average", unit="images"):
            self._file.write(store[image_id].float().mean(dim=0).numpy().tobytes())
        self._file.flush()
        self.shape = (self.shape[0] + len(image_ids), self.shape[1])

    def __getitem__(self, rows: Chosen) -> NDArray[Any]:
        return np.array(
            np.memmap(self._file, np.float32, "r", shape=self.shape)[rows]
        )  # unmapped again, with its pages
