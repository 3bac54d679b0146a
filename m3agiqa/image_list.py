"""The images that somebody wants scored: one, the rows of a CSV file, or the files of a folder."""

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from m3agiqa.csv_rows import IMAGE, Record, by_column, header_of, image_column, records, repeated_column
from m3agiqa.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


@dataclass(frozen=True)
class ListedImage:
    """One image to score."""

    name: str  # as the user wrote it
    path: Path
    prompt: str  # "" where none was given


def from_csv(table: Path) -> list[ListedImage]:
    """The rows of a UTF-8 csv with the columns `image` (or `name`) and, if there is one, `prompt`.

    An image's path is relative to the file's folder, or to images/ beside it, as in a data set to train on. Other
    columns are ignored. Whether the images are there shows when they are scored.

    Raises:
        InputError: naming the file, the row and what was expected.
    """
    rows = records(table)
    first = next(rows, Record(1, []))
    header = header_of(first)
    column = image_column(header)
    if column not in header or repeated_column(header):
        expected = f"{' or '.join(IMAGE)}, and prompt, each once"
        raise InputError(f"{table}, row {first.number}: expected a header with {expected}; it has {header}")
    images = []
    for record in rows:
        row = by_column(table, header, record)
        if not row[column].strip():
            raise InputError(f"{table}, row {record.number}: {column} is empty, expected a path")
        images.append(ListedImage(row[column], _path(table.parent, row[column]), row.get("prompt", "")))
    if not images:
        raise InputError(f"{table}: a header and no rows, expected a row for each image")
    return images


def from_folder(folder: Path) -> list[ListedImage]:
    """The image files directly in `folder`, by name, without prompts; hidden ones, such as macOS' `._a.png`, are not.

    Raises:
        InputError: no such folder, or no images in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and _is_shown(path))
    if not files:
        raise InputError(f"{folder}: no images here, expected files that end in {', '.join(SUFFIXES)}")
    return [ListedImage(path.name, path, "") for path in files]


def _is_shown(path: Path) -> bool:
    """Whether it is no folder and not hidden. A link to nothing is shown: that it is broken is worth saying."""
    return not path.is_dir() and not path.name.startswith(".")


def _path(folder: Path, name: str) -> Path:
    """The file that is meant: beside the table, or in images/. Zips of macOS have accents in another Unicode form."""
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    places = [place / form for place in (folder, folder / "images") for form in (name, *forms)]
    # os.path's: a data: address, or another name too long for a file's, is not there, where Path's raises.
    return next((path for path in places if os.path.exists(path)), folder / name)
