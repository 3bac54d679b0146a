"""An append-only record of answers that cost time or money: each is on the disk before the next is asked for.

One JSON line a record. A kill can tear only the last line, which is cut off when the journal is opened again; a
damaged line before it is an error, because something else wrote there. Records are read from the disk when they are
asked for: in memory is only where each of them ends, 8 bytes a record.
"""

import fcntl
import json
import os
import sys
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from m3agiqa.errors import InputError
from m3agiqa.files import sync_folder
from m3agiqa.json_text import parse_json


class Journal:
    """The records at `path` by their number, in the order in which they came.

    One process at a time writes there: another waits for it, and says so.

    Raises:
        InputError: where a record is read, its line is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab+", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another run writes to {path}; waiting for it to end", file=sys.stderr, flush=True)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        sync_folder(path.parent)  # a new file's name, too, survives a power cut
        self._ends = array("Q", [0])
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    self._ends.append(self._ends[-1] + len(line))
        self._file.truncate(self._ends[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, record: dict[str, Any]) -> int:
        """Add a record and return its number; by then it survives a power cut."""
        return self.extend([record])

    def extend(self, records: Iterable[dict[str, Any]]) -> int:
        """Add records and return the first one's number; by then all survive a power cut, a kill may leave some."""
        # What is no Unicode text, as in the name of a file that is not UTF-8, becomes JSON's own escape of it.
        lines = [json.dumps(each, ensure_ascii=False).encode(errors="backslashreplace") + b"\n" for each in records]
        unwritten, first = memoryview(b"".join(lines)), len(self)
        try:
            while unwritten:
                unwritten = unwritten[self._file.write(unwritten) :]
            os.fsync(self._file.fileno())
        except OSError as error:  # such as a full disk: half a line must not stand before the next one
            self._file.truncate(self._ends[-1])
            error.filename = str(self.path)
            raise
        for line in lines:
            self._ends.append(self._ends[-1] + len(line))
        return first

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> dict[str, Any]:
        start, end = self._ends[number], self._ends[number + 1]
        return _record(os.pread(self._file.fileno(), end - start, start), self.path, number + 1)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self.__getitem__, range(len(self)))


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The whole records of a journal that another process may be writing, without its lock.

    Raises:
        InputError: a line is damaged.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            yield _record(line, path, number)


def _record(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = parse_json(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise InputError(f"{path}, line {number}: not a journal record; remove the line to go on")
    return record
