"""A batch on its way to a scorer in a cluster: its files are read, then decoded, by processes that load no torch."""

from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

from m3agiqa.given import Opened


@dataclass(frozen=True)
class Batch:
    """What is asked of images. A relative path counts from `folder`, and is named in errors as it is."""

    number: int
    folder: Path
    images: Sequence[tuple[Path, str]]  # with their prompts
    aspects: Sequence[Sequence[str]]  # that each of them is to have a score of


@dataclass(frozen=True)
class Files:
    """The bytes of a batch's files; of what cannot be read, why."""

    batch: Batch
    files: Sequence[bytes | Opened]


@dataclass(frozen=True)
class Images:
    """A batch that is ready to be scored."""

    batch: Batch
    opened: Sequence[Opened]


def read(row: dict[str, Batch]) -> dict[str, Files]:
    """On the machine that has the files. A row of Ray Data has one column, item."""
    batch = row["item"]
    with chdir(batch.folder):
        files = [_content(path) or Opened.of(path, prompt) for path, prompt in batch.images]
    return {"item": Files(batch, files)}


def decoded(row: dict[str, Files]) -> dict[str, Images]:
    """On any."""
    batch, files = row["item"].batch, row["item"].files
    opened = [
        file if isinstance(file, Opened) else Opened.of(file, prompt, name=str(path))
        for file, (path, prompt) in zip(files, batch.images, strict=True)
    ]
    return {"item": Images(batch, opened)}


def _content(path: Path) -> bytes:
    """Nothing of what is no file, or cannot be read."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except (OSError, ValueError):
        return b""
