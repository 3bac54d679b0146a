"""Unfinished work, kept outside of what it is for, so that a killed run goes on where it was.

The folder is named by the caller, after everything that the work depends on: the same work is found again, other work
is left alone.
"""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from m3agiqa.errors import InputError

FINISHED = "finished"  # the marker


class Scratch:
    """The folder at `path`, held by one run at a time: a process that outlived its caller still holds the lock.

    Of a run's several processes the `first` one takes it, and the others `wait` for that. Left without an error, the
    work is finished: it stays, because who asked for it has yet to put the result away, and earlier finished work
    beside it goes.
    """

    def __init__(self, path: Path, *, first: bool = True, wait: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._first, self._wait = first, wait

    def __enter__(self) -> Self:
        if self._first:
            self._take()
        self._wait()
        return self

    def _take(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise InputError(f"another run is at this work already ({self.path}): wait for it or stop it") from None

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if not self._first:
            return
        if error is None:
            for folder in self.path.parent.iterdir():
                if folder != self.path and (folder / FINISHED).exists():
                    shutil.rmtree(folder)
            (self.path / FINISHED).touch()
        self._lock.close()
