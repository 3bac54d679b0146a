"""Data set `folder`: your own images, as <source>/data.csv and <source>/images/.

data.csv has the columns `name` (a file in images/) and `prompt`, optionally `generator` and
`comment`, any of `mos_quality`, `mos_correspondence`, `mos_authenticity` on one declared scale, and
optionally the matching `std_…`. Other columns are ignored. UTF-8, with or without a byte order
mark; fields in quotes may hold commas, quotes and newlines.

Rows are numbered as a spreadsheet shows them: the header is row 1, and a prompt that spans lines is
still one row. Images are copied, not linked: a link would let a later edit of yours change what
the pipeline has already hashed.
"""

import csv
import io
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pandas as pd

from data.errors import InputError
from data.files import atomic, sha256
from data.images import check_image
from data.tables import ASPECTS, MOS_RANGE, check_samples

Row = dict[str, str]
MAX_NAME_BYTES = 200  # file systems stop at 255, and a temporary name is longer


def read_folder(
    source: Path | str,
    out: Path | str,
    *,
    scale: tuple[float, float],
    progress: Callable[..., Iterable] = lambda iterable, **_: iterable,
) -> pd.DataFrame:
    """Check everything, copy the images to `out`/images/ and return the samples, MOS mapped to 0 to 5.

    `scale` is the lowest and the highest MOS that the raters could give. Images in `out` that are
    not part of the set are removed.

    Raises:
        InputError: naming the file, the row and what was expected.
    """
    source, out = Path(source), Path(out)
    low, high = scale
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"scale [{low}, {high}]: expected two numbers, the lowest MOS and the highest")
    here, there = source.resolve(), out.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise InputError(f"{source}: one folder with the copies in {out}; keep your images outside it")
    table = source / "data.csv"
    rows = _read_rows(table)
    aspects = [aspect for aspect in ASPECTS if f"mos_{aspect}" in rows[0][1]]
    names = [row["name"] for _, row in rows]
    ids = _image_ids(names)
    labels = [_labels(row, aspects, (low, high), f"{table}, row {number}") for number, row in rows]
    paths = [_image_path(source, row["name"], f"{table}, row {number}") for number, row in rows]

    _remove_strangers(out / "images", set(names))
    samples = []
    work = zip(rows, ids, labels, paths, strict=True)
    for (number, row), image_id, label, path in progress(work, total=len(rows), desc="read images", unit="images"):
        try:
            check_image(path)
        except InputError as error:
            raise InputError(f"{table}, row {number}: {error}") from None
        copy = out / "images" / row["name"]
        with atomic(copy) as temporary:
            shutil.copyfile(path, temporary)
        samples.append(
            {
                "image_id": image_id,
                "path": f"images/{row['name']}",
                "prompt": row["prompt"],
                "generator": row.get("generator", ""),
                "comment": row.get("comment", ""),
                "sha256": sha256(copy),
                **label,
            }
        )
    return check_samples(pd.DataFrame(samples), table)


def _read_rows(table: Path) -> list[tuple[int, Row]]:
    """The rows with their numbers, after everything that the text alone can tell has been checked."""
    numbered = records(table)
    _, header = next(numbered, (1, []))
    header = [column.strip() for column in header]
    if not header:
        raise InputError(f"{table}: the file is empty, expected a header with name, prompt and a MOS column")
    for column in ("name", "prompt"):
        if column not in header:
            raise InputError(f"{table}, row 1: missing column {column!r}; it has {', '.join(map(repr, header))}")
    if not any(f"mos_{aspect}" in header for aspect in ASPECTS):
        expected = ", ".join(f"mos_{aspect}" for aspect in ASPECTS)
        raise InputError(f"{table}, row 1: no MOS column, expected at least one of {expected}")
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        raise InputError(f"{table}, row 1: column {twice[0]!r} occurs twice")

    rows: list[tuple[int, Row]] = []
    first_row: dict[str, int] = {}
    for number, fields in numbered:
        if len(fields) != len(header):
            raise InputError(f"{table}, row {number}: {len(fields)} fields, expected {len(header)} as in the header")
        row = dict(zip(header, fields, strict=True))
        _check_name(row["name"], f"{table}, row {number}")
        if (earlier := first_row.setdefault(row["name"], number)) != number:
            raise InputError(f"{table}, row {number}: name {row['name']!r} occurs in row {earlier} already")
        rows.append((number, row))
    if not rows:
        raise InputError(f"{table}: a header and no rows, expected a row for each image")
    return rows


def records(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbered csv records. Empty lines count as rows, as in a spreadsheet, and hold nothing.

    Raises:
        InputError: no such file, not UTF-8, or not csv; the message names the row.
    """
    if not table.is_file():
        raise InputError(f"{table}: no such file")
    content = table.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", errors="replace")
        row = sum(1 for _ in csv.reader(io.StringIO(before + ".", newline="")))
        raise InputError(f"{table}, row {row}: not UTF-8; save it as 'CSV UTF-8'") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        for number, fields in enumerate(reader, start=1):
            if fields:
                yield number, fields
    except csv.Error as error:
        raise InputError(f"{table}, row {number + 1}: not valid csv ({error})") from None


def _check_name(name: str, where: str) -> None:
    if not name.strip():
        raise InputError(f"{where}: name is empty, expected a file in images/")
    if name in {".", ".."} or "/" in name or "\\" in name:
        raise InputError(f"{where}: name {name!r} is a path, expected a plain file name without folders or '..'")
    if not name.isprintable() or len(name.encode()) > MAX_NAME_BYTES:
        raise InputError(f"{where}: name {name!r}, expected printable characters and at most {MAX_NAME_BYTES} bytes")


def _image_path(source: Path, name: str, where: str) -> Path:
    path = source / "images" / name
    if not path.exists():
        raise InputError(f"{where}: {path} does not exist")
    if not path.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{where}: {path} is a link out of {source}, expected a file inside it")
    return path


def _image_ids(names: list[str]) -> list[str]:
    """The name without its extension where no other name could be mistaken for it, else the name."""
    taken = Counter(Path(name).stem for name in names) + Counter(names)
    return [stem if taken[stem := Path(name).stem] == 1 else name for name in names]


def _labels(row: Row, aspects: list[str], scale: tuple[float, float], where: str) -> dict[str, float]:
    """MOS and std of one row, on the scale 0 to 5."""
    low, high = scale
    lowest, highest = MOS_RANGE
    factor = (highest - lowest) / (high - low)
    labels = {}
    for aspect in aspects:
        mos = _number(row[f"mos_{aspect}"])
        if not low <= mos <= high:  # NaN too
            given = row[f"mos_{aspect}"]
            raise InputError(f"{where}: mos_{aspect} is {given!r}, expected a number from {low:g} to {high:g}")
        given = row.get(f"std_{aspect}", "")
        std = _number(given)
        if given.strip() and not 0 <= std <= high - low:
            raise InputError(f"{where}: std_{aspect} is {given!r}, expected nothing or 0 to {high - low:g}")
        labels[f"mos_{aspect}"] = min(lowest + (mos - low) * factor, highest)  # rounding may overshoot
        labels[f"std_{aspect}"] = std * factor
    return labels


def _number(text: str) -> float:
    """The number that `text` holds, or NaN."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _remove_strangers(folder: Path, names: set[str]) -> None:
    """Remove what an earlier run left in `folder` and this set does not have."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()
