"""Unfinished work, kept outside of what it is for, so that a killed run goes on where it was.

The folder is named by the caller, after everything that the work depends on: the same work is found again, other work
is left alone.
"""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from m3agiqa.files import if_free, one_at_a_time, write_text

FINISHED = "finished"  # the marker
HOLDER = "holder"  # says who is at the work, or was last


class Scratch:
    """The folder at `path`, held by one run at a time: another waits, says for whom, and finds the work done.

    Of a run's several processes the `first` one takes it, and the others `wait` for that. Left without an error, the
    work is finished: it stays, because who asked for it has yet to put the result away, and earlier finished work
    beside it goes, but for what another run is at again.
    """

    def __init__(self, path: Path, *, first: bool = True, wait: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self._first, self._wait = first, wait
        self._held = ExitStack()

    def __enter__(self) -> Self:
        if self._first:
            self._take()
        self._wait()
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if not self._first:
            return
        with self._held:
            if error is None:
                self._drop_earlier()
                (self.path / FINISHED).touch()

    def _take(self) -> None:
        holder = self.path / HOLDER
        whom = holder.read_text(encoding="utf-8") if holder.exists() else "another run"
        self._held.enter_context(one_at_a_time(lock_of(self.path), f"{whom} is at the work in {self.path}; waiting"))
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(holder, f"process {os.getpid()} in {Path.cwd()}, since {time.strftime('%H:%M')},")
        (self.path / FINISHED).unlink(missing_ok=True)

    def _drop_earlier(self) -> None:
        for folder in self.path.parent.iterdir():
            if folder != self.path and (folder / FINISHED).exists():
                with if_free(lock_of(folder)) as free:
                    if free and (folder / FINISHED).exists():
                        shutil.rmtree(folder)


def lock_of(folder: Path) -> Path:
    """Beside the folder, which may be removed while others wait for it."""
    return folder.with_name(f".{folder.name}.lock")
