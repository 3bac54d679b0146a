"""Writing that survives a kill, and the hashes that tell whether two inputs are the same.

A reader never sees a half-written file: bytes go to a temporary name beside the target, are
flushed to the disk, and take the target's name in one step.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path; on leaving without an error, it becomes `path`, flushed to the disk."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        yield temporary
        settle(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
