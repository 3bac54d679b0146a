"""Ctrl-C while a library is at work that may swallow it, or that complains of what it leaves half made.

Python raises KeyboardInterrupt wherever the main thread is just then. Code that is called back from C drops exceptions.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


class Interrupts:
    """Those that have come."""

    def __init__(self) -> None:
        self._come = self._at_once = False

    def note(self, *_: object) -> None:
        """What a signal's handler does."""
        self._come = True
        if self._at_once:
            raise KeyboardInterrupt

    def tell(self) -> None:
        """Raise one that has come, here; one that comes later at once, and here again where it was swallowed."""
        self._at_once = True
        if self._come:
            raise KeyboardInterrupt


@contextmanager
def noted() -> Iterator[Interrupts]:
    """In the block, in the place of Python's own handler; where there is another one, or none, that stays."""
    interrupts, pythons = Interrupts(), signal.default_int_handler
    ours = current_thread() is main_thread() and signal.getsignal(signal.SIGINT) is pythons
    if ours:
        signal.signal(signal.SIGINT, interrupts.note)
    try:
        yield interrupts
    finally:
        if ours:
            signal.signal(signal.SIGINT, pythons)
