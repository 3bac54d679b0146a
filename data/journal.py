"""An append-only record of answers that cost time or money: each is on the disk before the next is asked for.

One JSON line a record, `{"key": …, …}`. A kill can tear only the last line, which a reader leaves out and
the next append cuts off; a damaged line before it is an error, because something else wrote there.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import Any, Self

from data.errors import InputError


class Journal:
    """The records at `path` by their key; the last record of a key counts. One writer at a time holds its lock.

    Raises:
        InputError: another process writes to it, or a line is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.records, whole = read(path)
        except BlockingIOError:
            self._file.close()
            raise InputError(f"another run writes to {path}: wait for it or stop it") from None
        except InputError:
            self._file.close()
            raise
        self._file.truncate(whole)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, key: str, record: dict[str, Any]) -> None:
        """Add a record; on return it survives a power cut."""
        self.records[key] = {"key": key, **record}
        self._file.write(json.dumps(self.records[key], ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __contains__(self, key: str) -> bool:
        return key in self.records

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self.records[key]


def read(path: Path) -> tuple[dict[str, dict[str, Any]], int]:
    """The records of a journal by their key, and where its last whole line ends."""
    records, whole = {}, 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                record = json.loads(line)
                records[record["key"]] = record
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{path}, line {number}: not a journal record; remove the line to go on") from None
            whole += len(line)
    return records, whole
