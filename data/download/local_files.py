"""The files of a data set or a teacher that lie on this machine, and what can be seen of them without reading them."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from m3agiqa.errors import InputError
from m3agiqa.strict import Strict

ON_THE_NET = ("hf://", "https://", "http://")
PIN = "#sha256="
IGNORED = {".cache", ".git", "__MACOSX"}  # folders that hold nothing of a data set


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
    for path in files_below(root):
        facts = path.stat()
        seen.update(
            f"{path.relative_to(root).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(
                "utf-8", "surrogateescape"
            )
        )
        count, size = count + 1, size + facts.st_size
    return LocalFiles(source=source, files=count, bytes=size, sha256=seen.hexdigest())


def files_below(root: Path) -> Iterator[Path]:
    """`root`, or the files of a data set below it, in an order that is the same every time.

    Links are followed: yours may lead anywhere, and an archive with links is not unpacked. What tools leave (`IGNORED`,
    and macOS' `._` files), links to nothing, and links to a folder that they lie in are passed over.
    """
    if root.is_file():
        yield root
    elif root.is_dir():
        yield from _below(root, ())


def _below(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    here = folder.resolve()
    if here in above:
        return
    try:
        entries = sorted(folder.iterdir())
    except PermissionError:
        raise InputError(f"{folder}: may not be read") from None
    for path in entries:
        if path.name in IGNORED or path.name.startswith("._"):
            continue
        if path.is_dir():
            yield from _below(path, (*above, here))
        elif path.is_file():
            yield path
