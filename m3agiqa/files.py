"""Writing that survives a kill and other writers, and the hashes that tell whether two inputs are the same.

A reader never sees a half-written file: bytes go to a temporary name beside the target, are
flushed to the disk, and take the target's name in one step. Of several writers each has a temporary name of its own,
and the last to finish is the one that is read.
"""

import fcntl
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path; on leaving without an error, it becomes `path`, flushed to the disk.

    What killed writers of `path` left is removed, and what running ones write is let alone: a temporary name has a
    lock beside it, which the kernel takes from a process that ends.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    while (descriptor := _try_lock(_names(path, number)[1])) is None:
        number += 1
    temporary, lock = _names(path, number)
    try:
        _remove_leftovers(path, number)
        yield temporary
        settle(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        _unlock(descriptor, lock)


@contextmanager
def one_at_a_time(lock: Path, busy: str) -> Iterator[None]:
    """Hold the file `lock` during the block; where another run holds it, say `busy` on stderr and wait for that run."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    if (descriptor := _try_lock(lock)) is None:
        print(busy, file=sys.stderr, flush=True)
        descriptor = _lock(lock)
    try:
        yield
    finally:
        _unlock(descriptor, lock)


@contextmanager
def if_free(lock: Path) -> Iterator[bool]:
    """Hold the file `lock` during the block, and yield True; False where another run holds it."""
    descriptor = _try_lock(lock)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            _unlock(descriptor, lock)


def _names(path: Path, number: int) -> tuple[Path, Path]:
    """The temporary file of a writer of `path`, and its lock."""
    return path.with_name(f".{path.name}.{number}.partial"), path.with_name(f".{path.name}.{number}.lock")


def _remove_leftovers(path: Path, number: int) -> None:
    """Under the name that is ours now, and under those after it that nobody holds."""
    _names(path, number)[0].unlink(missing_ok=True)
    for later in count(number + 1):
        temporary, lock = _names(path, later)
        if not lock.exists():
            return
        if (descriptor := _try_lock(lock)) is not None:
            temporary.unlink(missing_ok=True)
            _unlock(descriptor, lock)


def _try_lock(path: Path) -> int | None:
    """As `_lock`, or None where another one holds it."""
    try:
        return _lock(path, fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def _lock(path: Path, how: int = 0) -> int:
    """A descriptor that holds the file `path`, which is made for it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | how)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # who held it before has removed it: nobody else would meet this lock


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _unlock(descriptor: int, path: Path) -> None:
    path.unlink(missing_ok=True)
    os.close(descriptor)


def settle(temporary: Path, path: Path) -> None:
    """Flush the file `temporary` to the disk and give it the name `path`, in one step."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, atomically. NaN is refused: it is not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """What `write_json` wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: Path | str) -> str:
    """The file's SHA-256, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_sha256(folder: Path | str, patterns: Sequence[str] = ("*",)) -> str:
    """One SHA-256 over the relative names and contents of the files below `folder` that match a pattern.

    What Python keeps of compiled modules does not count.
    """
    folder = Path(folder)
    found = {path for pattern in patterns for path in folder.rglob(pattern) if path.is_file()}
    names = sorted(path.relative_to(folder).as_posix() for path in found if path.parent.name != "__pycache__")
    return fingerprint([[name, sha256(folder / name)] for name in names])


def fingerprint(value: Any) -> str:
    """SHA-256, hexadecimal, of a JSON-serialisable value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
