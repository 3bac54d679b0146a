"""MATLAB files, as several data sets have their labels in: variables by name, and nothing run that a file says.

Another process reads them, because some damaged ones crash scipy.
"""

import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from m3agiqa.errors import InputError

# What scipy.io.loadmat raises on damaged files, as 13,000 of them showed; NotImplementedError: MATLAB 7.3 is HDF5.
DAMAGE = (MatReadError, ValueError, TypeError, NameError, LookupError, ArithmeticError, OSError, MemoryError,
          zlib.error, NotImplementedError, BrokenProcessPool)  # fmt: skip


class Variable(NamedTuple):
    """One of the variables of a MATLAB file."""

    path: Path
    name: str


def numbers(wanted: Sequence[Variable], count: int) -> list[np.ndarray]:
    """(count,) floats of each. Raises InputError: the file is damaged, lacks the variable, or it is something else."""
    return [_numbers(variable, values, count) for variable, values in zip(wanted, _read(wanted), strict=True)]


def texts(wanted: Variable) -> list[str]:
    """What the cells of a cell array, or the rows of a character array, say. Raises what `numbers` does."""
    (cells,) = _read([wanted])
    try:
        found = [np.asarray(cell).item() for cell in cells.ravel()]
    except ValueError:  # an empty cell, or an array in it
        found = []
    if not found or not all(isinstance(text, str) for text in found):
        raise InputError(f"{wanted.path}: {wanted.name} is {cells.dtype} {cells.shape}, expected a list of texts")
    return [text.strip() for text in found]


def _numbers(variable: Variable, values: np.ndarray, count: int) -> np.ndarray:
    if values.size != count or values.dtype.kind not in "fiu":
        raise InputError(f"{variable.path}: {variable.name} is {values.dtype} {values.shape}, expected {count} numbers")
    return values.astype(float).ravel()


def _read(wanted: Sequence[Variable]) -> list[np.ndarray]:
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, context) as pool:
        return [_variable(pool, *variable) for variable in wanted]


def _variable(pool: ProcessPoolExecutor, path: Path, name: str) -> np.ndarray:
    try:
        found = pool.submit(_load, path).result()
    except DAMAGE as error:
        raise InputError(f"{path}: not a readable MATLAB file ({' '.join(str(error).split())})") from None
    if name not in found:
        raise InputError(f"{path}: no variable {name}; it has {', '.join(found) or 'nothing'}")
    return found[name]


def _load(path: Path) -> dict[str, np.ndarray]:
    found = scipy.io.loadmat(str(path), appendmat=False)
    return {name: np.asarray(value) for name, value in found.items() if not name.startswith("__")}
