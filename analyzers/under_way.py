"""Notes of the requests that are sent and not answered yet: those that a killed run leaves may have been billed.

A line before a request is sent and a line when it has ended, in a file that begins anew with each run. They are not
flushed to the disk one by one: they survive a kill, and a power cut takes the last ones at most.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


class UnderWay:
    """The requests at `path`. Only who holds the journal's lock may open it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._number, self._lock = 0, threading.Lock()

    def left(self) -> Iterator[dict[str, Any]]:
        """What an earlier run had sent, and had not noted as ended."""
        sent: dict[int, dict[str, Any]] = {}
        for note in _notes(self.path):
            if "ended" in note:
                sent.pop(note["ended"], None)
            else:
                sent[note["sent"]] = note
        yield from sent.values()

    def begin(self) -> None:
        """Forget what is left, which is in the journal by now."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(b"")

    @contextmanager
    def note(self, request: Mapping[str, Any]) -> Iterator[None]:
        """A request leaves at the beginning of the block, and what came of it is on the disk at its end."""
        with self._lock:
            self._number += 1
            number = self._number
        self._write({"sent": number, "at": time.time(), **request})
        try:
            yield
        except OSError:  # such as a full disk: an answer that could not be put there is lost
            raise
        except BaseException:
            self._write({"ended": number})
            raise
        self._write({"ended": number})

    def _write(self, note: dict[str, Any]) -> None:
        line = json.dumps(note) + "\n"
        with self._lock, self.path.open("a", encoding="ascii") as notes:
            notes.write(line)


def _notes(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines; a kill or a full disk may have torn others."""
    for line in path.read_text(encoding="ascii").splitlines() if path.exists() else ():
        with suppress(ValueError):
            yield json.loads(line)
