"""AIGCIQA2023 (Wang et al. 2023): 100 prompts × 6 generators × 4 images, `0.png` to `2399.png`, three aspects.

Two publications of one set of labels:
- the authors' MATLAB files: mosz1, mosz2, mosz3 (quality, authenticity, correspondence), each with 2,400 numbers `MOSz`
  in the order of the images, on 0 to 100; SD1, SD2, SD3 likewise, `SD`, the raters' spread. Prompts are not in them:
  they come from one of the tables below.
- tables: the mirror's data.csv (name, prompt, mos_quality, mos_authenticity, mos_correspondence) or the authors'
  AIGCIQA2023.csv (quality_mos, …, quality_std, …), on 0 to 100 or 0 to 5.

Where the MATLAB files are present, they are the labels. Which scale it is must be declared, and is checked: MOS beyond
it are refused, and so is a set of which none is above its lowest tenth. The spread is that of the raters' five-point
scale whatever the scale of the MOS, which are z-scores brought to 0 to 100.

The images lie in six blocks of 400, one a generator. The files do not say which block is whose, so the generators are
numbered.
"""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.io

from data.errors import InputError
from data.labels import Rated, Row, read_rows
from data.lookup import Files

ASPECTS = ("quality", "authenticity", "correspondence")  # in the order of mosz1, mosz2, mosz3
IMAGES, BLOCK = 2400, 400
RATERS_POINTS = 5
# What scipy.io.loadmat is known to raise on damaged files; NotImplementedError: MATLAB 7.3, which is HDF5.
DAMAGE = (ValueError, TypeError, KeyError, IndexError, OSError, EOFError, NotImplementedError, zlib.error,
          AttributeError, OverflowError, MemoryError)  # fmt: skip


def read(files: Files, scale: tuple[float, float]) -> Iterator[Rated]:
    matlab = bool(files.matching("mosz1.mat"))
    per_point = (scale[1] - scale[0]) / RATERS_POINTS
    rows = _table(files, with_mos=not matlab)
    if matlab:
        mos = {aspect: _vector(files.find(f"mosz{k}.mat"), "MOSz") for k, aspect in enumerate(ASPECTS, 1)}
        std = {
            aspect: _vector(files.find(f"SD{k}.mat"), "SD") * per_point
            for k, aspect in enumerate(ASPECTS, 1)
            if files.matching(f"SD{k}.mat")
        }
    folder = "allimg/" if files.matching("allimg/0.png") else ""  # the authors' package has its images twice
    rated = []
    for where, row in rows:
        number = _number(row["name"], where)
        rated.append(
            Rated(
                where=where,
                name=row["name"],
                file=f"{folder}{row['name']}",
                prompt=row["prompt"],
                generator=f"generator-{1 + number // BLOCK}",
                mos={a: float(of[number]) for a, of in mos.items()} if matlab else _cells(row, "mos"),
                std={a: float(of[number]) for a, of in std.items()} if matlab else _cells(row, "std", per_point),
            )
        )
    _check_filled(rated, scale)
    yield from rated


def _table(files: Files, *, with_mos: bool) -> list[tuple[str, Row]]:
    """The rows that have the prompts, and, unless the MATLAB files are there, the MOS."""
    name = "AIGCIQA2023.csv" if files.matching("AIGCIQA2023.csv") else "data.csv"
    columns = [column for aspect in ASPECTS for column in (f"mos_{aspect}", f"{aspect}_mos")]
    return read_rows(files.find(name), ["name", "prompt"], one_of=columns if with_mos else ())


def _number(name: str, where: str) -> int:
    """The image's place in the MATLAB files."""
    match = re.fullmatch(r"([0-9]{1,4})\.png", name)
    if not match or int(match[1]) >= IMAGES:
        raise InputError(f"{where}: name {name!r}, expected 0.png to {IMAGES - 1}.png")
    return int(match[1])


def _cells(row: Row, kind: str, factor: float | None = None) -> dict[str, str | float]:
    """The cells of one kind, `mos` or `std`, by aspect, times `factor`. The two tables name columns differently."""
    cells = {}
    for aspect in ASPECTS:
        cell = row.get(f"{kind}_{aspect}", row.get(f"{aspect}_{kind}"))
        if cell is not None:
            cells[aspect] = cell if factor is None or _float(cell) is None else _float(cell) * factor
    return cells


def _vector(path: Path, variable: str) -> np.ndarray:
    """The 2,400 numbers of one MATLAB file."""
    try:
        found = scipy.io.loadmat(str(path), appendmat=False)
    except DAMAGE as error:
        raise InputError(f"{path}: not a readable MATLAB file ({' '.join(str(error).split())})") from None
    if variable not in found:
        names = ", ".join(name for name in found if not name.startswith("__")) or "nothing"
        raise InputError(f"{path}: no variable {variable}; it has {names}")
    values = np.asarray(found[variable])
    if values.size != IMAGES or values.dtype.kind not in "fiu":
        raise InputError(f"{path}: {variable} is {values.dtype} {values.shape}, expected {IMAGES} numbers")
    return values.astype(float).ravel()


def _check_filled(rated: list[Rated], scale: tuple[float, float]) -> None:
    """Refuse labels from 0 to 5 that are declared to be from 0 to 100: all of them would be `bad`."""
    low, high = scale
    for aspect in ASPECTS:
        given = [value for row in rated if (value := _float(row.mos.get(aspect, ""))) is not None]
        if given and max(given) < low + (high - low) / 10:
            raise InputError(
                f"{rated[0].where}: no mos_{aspect} here or below is above {max(given):g}; is the scale really "
                f"[{low:g}, {high:g}]?"
            )


def _float(cell: str | float) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
