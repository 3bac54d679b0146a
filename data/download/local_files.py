"""The files of a data set or a teacher that lie on this machine, and what can be seen of them without reading them."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from m3agiqa.errors import InputError
from m3agiqa.strict import Strict

ON_THE_NET = ("hf://", "https://", "http://")
PIN = "#sha256="


class LocalFiles(Strict):
    """The files at one place: changed, where any of these differs."""

    source: str  # as params.yaml has it
    files: int
    bytes: int
    sha256: str  # over the name, size and time of change of each


def is_local(source: str) -> bool:
    """Whether a data set's source is a path."""
    return not source.startswith(ON_THE_NET)


def local_path(source: str) -> Path:
    """The folder or file that a local `source` names, its pin left out.

    A relative one counts from the user's repository, also where `dvc exp run --temp` or `--queue` runs a copy of it.

    Raises:
        InputError: nothing is there.
    """
    path = Path(source.partition(PIN)[0]).expanduser()
    path = Path(os.environ.get("DVC_ROOT", ".")) / path if not path.is_absolute() else path
    if not path.exists():
        raise InputError(f"{path}: no such folder or file")
    return path


def look_at(source: str) -> LocalFiles:
    """What is at a local `source`: cheap, because no file is opened.

    Raises:
        InputError: nothing is there.
    """
    root, seen = local_path(source), sha256()
    count = size = 0
    for path in _files(root):
        facts = path.stat()
        seen.update(
            f"{path.relative_to(root).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(
                "utf-8", "surrogateescape"
            )
        )
        count, size = count + 1, size + facts.st_size
    return LocalFiles(source=source, files=count, bytes=size, sha256=seen.hexdigest())


def _files(root: Path) -> Iterator[Path]:
    """`root`, or the files below it, in an order that is the same every time."""
    if root.is_file():
        yield root
    for folder, folders, names in os.walk(root):
        folders.sort()
        yield from (
            path for name in sorted(names) if (path := Path(folder) / name).exists()
        )  # not so: a link to nothing
