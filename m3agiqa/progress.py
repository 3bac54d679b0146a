"""Progress, rate and ETA: a bar on a terminal, a plain line every ten seconds in a log."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tqdm import tqdm

if TYPE_CHECKING:
    Bar = tqdm[Any]
else:
    Bar = tqdm  # generic in its stubs alone

T = TypeVar("T")
LOG_SECONDS = 10
tqdm.set_lock(threading.RLock())  # its own serves processes too, and starts one to clean up after it


class Progress(Protocol):
    """`progress` below, or something in its place: passes things on and shows how many have come."""

    def __call__(self, iterable: Iterable[T], /, *, total: int, desc: str, unit: str) -> Iterable[T]: ...


class ByteBar(Protocol):
    """A bar that is told how many bytes more have come; whoever shares it between threads takes its lock."""

    def update(self, n: float | None = 1) -> bool | None: ...

    def get_lock(self) -> AbstractContextManager[object]: ...


class _LogLines(Bar):
    """tqdm for a file: each update on a line of its own."""

    def display(  # type: ignore[override]  # the stubs have it return nothing, and tqdm's own says whether it wrote
        self,
        msg: str | None = None,
        pos: int | None = None,  # noqa: ARG002 (tqdm's signature)
    ) -> bool:
        self.fp.write((msg or str(self)) + "\n")
        self.fp.flush()
        return True


def progress(
    iterable: Iterable[T], *, total: int, desc: str, unit: str, note: Callable[[], str] | None = None
) -> Iterator[T]:
    """Yield from `iterable`, showing how far it is, how fast, when it will be done, and what `note` says by then."""
    shown = _bar(iterable, total=total, desc=desc, unit=unit)
    for item in shown:
        if note:
            shown.set_postfix_str(note(), refresh=False)
        yield item


def say(line: str) -> None:
    """A line of its own on stderr, above the bars of a terminal."""
    if sys.stderr.isatty():
        tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr, flush=True)


def silent(iterable: Iterable[T], /, **_: object) -> Iterable[T]:
    """In the place of `progress`, where nothing is to be shown."""
    return iterable


def byte_bar(desc: str, total: int | None) -> AbstractContextManager[ByteBar]:
    """A context that is told with `update` how many bytes more have come; `total` of them, if that is known."""
    return _bar(total=total, desc=desc, unit="B", unit_scale=True)


def _bar(iterable: Iterable[Any] | None = None, *, unit: str, **options: Any) -> Bar:
    terminal = sys.stderr.isatty()
    bar = Bar if terminal else _LogLines
    shape = "{desc}: {n_fmt}/{total_fmt} " + unit + " [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
    return bar(
        iterable,
        unit=f" {unit}",
        mininterval=0.2 if terminal else LOG_SECONDS,
        maxinterval=LOG_SECONDS,
        bar_format=None if terminal else shape,
        dynamic_ncols=terminal,
        **options,
    )
