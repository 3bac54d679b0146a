"""AIGCIQA2023 (Wang et al. 2023): 100 prompts × 6 generators × 4 images, `0.png` to `2399.png`, three aspects.

Two publications of one set of labels:
- the authors' MATLAB files: mosz1, mosz2, mosz3 (quality, authenticity, correspondence), each with 2,400 numbers `MOSz`
  in the order of the images, on 0 to 100; SD1, SD2, SD3 likewise, `SD`, the raters' spread. Prompts are not in them:
  they come from one of the tables below.
- tables: the mirror's data.csv (name, prompt, mos_quality, mos_authenticity, mos_correspondence) or the authors'
  AIGCIQA2023.csv (quality_mos, …, quality_std, …), on 0 to 100 or 0 to 5.

Where the MATLAB files are present, they are the labels. Which scale it is must be declared, and is checked: MOS beyond
it are refused, and so is a set of which none is above its lowest tenth. The spread is that of the raters' five-point
scale whatever the scale of the MOS, which are z-scores brought to 0 to 100: it says nothing of their noise
(evaluation/ceiling.py).

The images lie in six blocks of 400, one a generator. The files do not say which block is whose, so the generators are
numbered.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from data.ingest.labels import LabelRow, Rated, Row, read_rows
from data.ingest.lookup import Files
from data.ingest.matlab import Variable, numbers
from m3agiqa.aspects import Scale
from m3agiqa.errors import InputError

ASPECTS = ("quality", "authenticity", "correspondence")  # in the order of mosz1, mosz2, mosz3
IMAGES, BLOCK = 2400, 400
RATERS_POINTS = 5


class Labels(NamedTuple):
    """What is said of one image, by aspect."""

    mos: Mapping[str, str | float]
    std: Mapping[str, str | float]


def read(files: Files, scale: Scale) -> Iterator[Rated]:
    low, high = scale
    per_point = (high - low) / RATERS_POINTS
    matlab = bool(files.matching("mosz1.mat"))
    rows = _table(files, with_mos=not matlab)
    places = [_number(row["name"], where) for where, row in rows]
    labels = _of_matlab(files, places, per_point) if matlab else [_of_row(row, per_point) for _, row in rows]
    _check_filled(rows[0][0], [mos for mos, _ in labels], scale)
    folder = "allimg/" if files.matching("allimg/0.png") else ""  # the authors have each image twice
    for (where, row), number, (mos, std) in zip(rows, places, labels, strict=True):
        yield Rated(
            where=where,
            name=row["name"],
            file=f"{folder}{row['name']}",
            prompt=row["prompt"],
            generator=f"generator-{1 + number // BLOCK}",
            mos=mos,
            std=std,
        )


def _table(files: Files, *, with_mos: bool) -> list[LabelRow]:
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


def _of_row(row: Row, per_point: float) -> Labels:
    """What one row has of each aspect; the two tables name their columns differently."""
    cells = {aspect: row.get(f"mos_{aspect}", row.get(f"{aspect}_mos")) for aspect in ASPECTS}
    spreads = {aspect: _float(row.get(f"{aspect}_std", "")) for aspect in ASPECTS}
    mos = {aspect: cell for aspect, cell in cells.items() if cell is not None}
    return Labels(mos, {aspect: spread * per_point for aspect, spread in spreads.items() if spread is not None})


def _of_matlab(files: Files, places: list[int], per_point: float) -> list[Labels]:
    """What the MATLAB files have of each image."""
    mos = _vectors(files, "MOSz", {aspect: f"mosz{k}.mat" for k, aspect in enumerate(ASPECTS, start=1)})
    there = {aspect: f"SD{k}.mat" for k, aspect in enumerate(ASPECTS, start=1) if files.matching(f"SD{k}.mat")}
    std = {aspect: spread * per_point for aspect, spread in _vectors(files, "SD", there).items()}
    return [Labels(*({aspect: float(of[n]) for aspect, of in kind.items()} for kind in (mos, std))) for n in places]


def _vectors(files: Files, variable: str, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The 2,400 numbers of each MATLAB file, by aspect."""
    found = numbers([Variable(files.find(name), variable) for name in names.values()], IMAGES)
    return dict(zip(names, found, strict=True))


def _check_filled(where: str, labels: list[Mapping[str, str | float]], scale: Scale) -> None:
    """Refuse labels from 0 to 5 that are declared to be from 0 to 100: all of them would be `bad`."""
    low, high = scale
    for aspect in ASPECTS:
        given = [value for mos in labels if (value := _float(mos.get(aspect, ""))) is not None]
        if given and max(given) < low + (high - low) / 10:
            raise InputError(
                f"{where}: no mos_{aspect} here or below is above {max(given):g}; is the scale really "
                f"[{low:g}, {high:g}]?"
            )


def _float(cell: str | float) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
