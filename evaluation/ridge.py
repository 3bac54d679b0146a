"""Ridge regression with many penalties on more rows than fit into memory.

Columns are standardised with the mean and the spread of the training rows. One eigendecomposition gives the weights
of every penalty: of the columns' products, or of the training rows' where those are fewer (Hastie and Tibshirani,
Efficient quadratic regularization for expression arrays, Biostatistics 2004). Rows are read a block at a time, so
memory grows with the number of columns, and with a prediction a row and penalty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Chosen = slice | NDArray[np.intp]


class Table(Protocol):
    """N rows of D numbers, in memory or elsewhere."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: Chosen, /) -> NDArray[Any]: ...


BLOCK_BYTES = 64 << 20  # of rows as float64


@dataclass(frozen=True)
class Fits:
    """P linear models of D columns."""

    mean: Floats  # (D,)
    weights: Floats  # (D, P), of columns that are not divided by their spread any more
    start: float

    def predict(self, table: Table) -> Floats:
        """(N, D) -> (N, P)."""
        count, columns = table.shape
        predicted = np.empty((count, self.weights.shape[1]))
        for block in _blocks(count, columns):
            predicted[block] = (table[block] - self.mean) @ self.weights + self.start
        return predicted


def fit(table: Table, train: NDArray[np.intp], mos: Floats, penalties: Sequence[float]) -> Fits:
    """(N, D), the training rows (n,) and their MOS (n,) -> a model for each penalty."""
    count, columns = len(train), table.shape[1]
    mean = np.zeros(columns)
    for block in _blocks(count, columns):
        mean += table[train[block]].sum(axis=0, dtype=np.float64) / count
    start = float(mos.mean())
    if count <= columns:
        centred = table[train] - mean
        scale = _scale(np.einsum("nd,nd->d", centred, centred) / count, mean, count)
        centred /= scale
        weights = centred.T @ _solved(centred @ centred.T, mos - start, penalties)
    else:
        products, towards = np.zeros((columns, columns)), np.zeros(columns)
        for block in _blocks(count, columns):
            centred = table[train[block]] - mean
            products += centred.T @ centred
            towards += centred.T @ (mos[block] - start)
        scale = _scale(np.diag(products) / count, mean, count)
        weights = _solved(products / scale / scale[:, None], towards / scale, penalties)
    return Fits(mean, weights / scale[:, None], start)


def _solved(symmetric: Floats, right: Floats, penalties: Sequence[float]) -> Floats:
    """(M, M), (M,) -> (M, P): (A + penalty)⁻¹ b of each penalty."""
    values, directions = np.linalg.eigh(symmetric)
    solved: Floats = directions @ ((directions.T @ right)[:, None] / (values[:, None] + np.asarray(penalties)))
    return solved


def _scale(variance: Floats, mean: Floats, count: int) -> Floats:
    """(D,): the standard deviation; 1 where the column is constant up to rounding."""
    rounding = np.finfo(float).eps * count * (variance + np.finfo(float).eps * count * mean**2)
    return np.where(variance <= rounding, 1.0, np.sqrt(variance))


def _blocks(count: int, columns: int) -> Iterator[slice]:
    step = max(1, BLOCK_BYTES // (8 * columns))
    for first in range(0, count, step):
        yield slice(first, first + step)
