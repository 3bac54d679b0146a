"""What the user wants scored: one image, the rows of a CSV file, or the images of a folder."""

from dataclasses import dataclass
from pathlib import Path

from data.errors import InputError
from data.labels import records

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


@dataclass(frozen=True)
class Asked:
    """One image to score."""

    name: str  # as the user wrote it
    path: Path
    prompt: str  # "" where none was given


def from_csv(table: Path) -> list[Asked]:
    """The rows of a UTF-8 csv with the columns `image` and, if there is one, `prompt`; other columns are ignored.

    An image's path is relative to the file's folder. Whether the images are there shows when they are scored.

    Raises:
        InputError: naming the file, the row and what was expected.
    """
    rows = records(table)
    _, header = next(rows, (1, []))
    header = [column.strip() for column in header]
    if "image" not in header or len(set(header)) < len(header):
        raise InputError(f"{table}, row 1: expected a header with image and prompt, each once; it has {header}")
    asked = []
    for number, fields in rows:
        if len(fields) != len(header):
            raise InputError(f"{table}, row {number}: {len(fields)} fields, expected {len(header)} as in the header")
        row = dict(zip(header, fields, strict=True))
        if not row["image"].strip():
            raise InputError(f"{table}, row {number}: image is empty, expected a path")
        asked.append(Asked(row["image"], table.parent / row["image"], row.get("prompt", "")))
    if not asked:
        raise InputError(f"{table}: a header and no rows, expected a row for each image")
    return asked


def from_folder(folder: Path) -> list[Asked]:
    """The image files directly in `folder`, by name, without prompts."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{folder}: no images here, expected files that end in {', '.join(SUFFIXES)}")
    return [Asked(path.name, path, "") for path in files]
