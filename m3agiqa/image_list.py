"""The images that somebody wants scored: one, the rows of a CSV file, or the files of a folder."""

from dataclasses import dataclass
from pathlib import Path

from m3agiqa.csv_rows import IMAGE, Record, image_column, records
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
    header = [column.strip() for column in next(rows, Record(1, [])).fields]
    column = image_column(header)
    if column not in header or len(set(header)) < len(header):
        expected = f"{' or '.join(IMAGE)}, and prompt, each once"
        raise InputError(f"{table}, row 1: expected a header with {expected}; it has {header}")
    images = []
    for number, fields in rows:
        if len(fields) != len(header):
            raise InputError(f"{table}, row {number}: {len(fields)} fields, expected {len(header)} as in the header")
        row = dict(zip(header, fields, strict=True))
        if not row[column].strip():
            raise InputError(f"{table}, row {number}: {column} is empty, expected a path")
        images.append(ListedImage(row[column], _path(table.parent, row[column]), row.get("prompt", "")))
    if not images:
        raise InputError(f"{table}: a header and no rows, expected a row for each image")
    return images


def from_folder(folder: Path) -> list[ListedImage]:
    """The image files directly in `folder`, by name, without prompts.

    Raises:
        InputError: no such folder, or no images in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{folder}: no images here, expected files that end in {', '.join(SUFFIXES)}")
    return [ListedImage(path.name, path, "") for path in files]


def _path(folder: Path, name: str) -> Path:
    beside, within = folder / name, folder / "images" / name
    return within if within.exists() and not beside.exists() else beside
