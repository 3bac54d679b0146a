"""The images that somebody wants scored: one, the rows of a table, or the files of a folder.

m3agiqa/tars.py has those that stand in tars.
"""

import math
import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from m3agiqa.csv_rows import IMAGE, image_column
from m3agiqa.errors import InputError
from m3agiqa.tables import TableRow, table_rows
from m3agiqa.unpacked import Unpacked

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif")
PROMPT = "prompt"


@dataclass(frozen=True)
class ListedImage:
    """One image to score."""

    name: str  # as the user wrote it
    path: Path
    prompt: str  # "" where none was given
    columns: Mapping[str, Any] = field(default_factory=dict)  # what else its row of the table says, as JSON has it
    held: Unpacked | None = field(default=None, repr=False, compare=False)  # what keeps `path` on the disk, if anything


def from_table(
    table: Path, unpacked: Unpacked | None = None, *, image: str | None = None, prompt: str | None = None
) -> list[ListedImage]:
    """The rows of a CSV (UTF-8), JSON-lines, Parquet or Arrow file; all other columns are kept beside the image.

    An image's path is relative to the file's folder, or to images/ beside it, as in a data set to train on. Whether
    the images are there shows when they are scored. Parquet and Arrow may have the image itself, as bytes or as
    Hugging Face's `datasets` writes it, {bytes, path}: it is called by that path, or by its row.

    Args:
        table: the file, or a folder that `datasets` has saved.
        unpacked: where images go that stand in the table itself; without it, those are refused.
        image: the column with the path or the image; without one, `image` or `name`.
        prompt: the column with the prompt; without one, `prompt`, which may be missing.

    Raises:
        InputError: naming the file, the row and what was expected.
    """
    needed = [(image,) if image else IMAGE, *([(prompt,)] if prompt else [])]
    images = [_listed(table.parent, row, unpacked, image, prompt or PROMPT) for row in table_rows(table, *needed)]
    if not images:
        raise InputError(f"{table}: no rows, expected one for each image")
    return images


class FolderImages(NamedTuple):
    """The images of a folder, and what else is there: what does not end as an image does, and links to folders."""

    images: list[ListedImage]
    others: list[Path]


def from_folder(folder: Path) -> FolderImages:
    """The image files in `folder` and the folders in it, by name, without prompts.

    Hidden files and folders, such as macOS' `._a.png`, are passed over, and links to folders are not followed.

    Raises:
        InputError: no such folder, one that cannot be read, or no images there.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    images, others = [], []
    for path in sorted(_walk(folder)):
        if _is_image(path):
            images.append(ListedImage(path.relative_to(folder).as_posix(), path, ""))
        else:
            others.append(path)
    if not images:
        raise InputError(f"{folder}: no images here, expected files that end in {', '.join(SUFFIXES)}")
    return FolderImages(images, others)


def _is_image(path: Path) -> bool:
    """By its name. A link to nothing is one: that it is broken is worth saying."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, onerror=_not_readable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (Path(place) / name for name in (*files, *links) if not name.startswith("."))


def _not_readable(error: OSError) -> None:
    raise InputError(f"{error.filename}: not to be read ({error.strerror})")


def _listed(folder: Path, row: TableRow, unpacked: Unpacked | None, image: str | None, prompt: str) -> ListedImage:
    column = image or image_column(list(row.values))
    where, text = row.where, row.values.get(prompt)
    if text is not None and not isinstance(text, str):
        raise InputError(f"{where}: {prompt} is a {type(text).__name__}, expected text")
    kept = {name: value for name, value in row.values.items() if name not in (column, prompt)}
    path, content = _path_and_bytes(f"{where}: {column}", row.values[column])
    columns = as_json(kept)
    if content is None:
        return ListedImage(path, _path(folder, path), text or "", columns)
    if unpacked is None:
        raise InputError(f"{where}: {column} is an image, expected a path")
    name = path if path.strip() else where.removeprefix(f"{folder}{os.sep}")
    return ListedImage(name, unpacked.put([content], name, len(content)), text or "", columns, unpacked)


def _path_and_bytes(where: str, value: Any) -> tuple[str, bytes | None]:
    """What a row says of its image: where it is, or all of it, and then perhaps what it is called."""
    path, content = (value.get("path"), value.get("bytes")) if isinstance(value, dict) else (value, None)
    if isinstance(path, bytes):
        path, content = None, path
    if isinstance(content, bytes) and (path is None or isinstance(path, str)):
        return path or "", content
    if content is not None or not isinstance(path, str) or not path.strip():
        nothing = isinstance(path, str) or value in (None, {"bytes": None, "path": None})
        found = "empty" if nothing and content is None else f"a {type(value).__name__}"
        raise InputError(f"{where} is {found}, expected a path or, in Parquet, an image's bytes")
    return path, None


def as_json(value: Any) -> Any:
    """What JSON can say of a value: a date's text, null for a number that is none."""
    if isinstance(value, dict):
        return {str(name): as_json(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return value if value is None or isinstance(value, (str, bool, int)) else str(value)


def _path(folder: Path, name: str) -> Path:
    """The file that is meant: beside the table, or in images/. Zips of macOS have accents in another Unicode form."""
    forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    places = [place / form for place in (folder, folder / "images") for form in (name, *forms)]
    # os.path's: a data: address, or another name too long for a file's, is not there, where Path's raises.
    return next((path for path in places if os.path.exists(path)), folder / name)
