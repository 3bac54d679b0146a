"""How long a stage of the MLLM will take on this machine, said at its beginning: from what a few images or steps took.

A progress bar says so too, once a batch is done. With a large model on a CPU that is late.
"""

import time
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
FEW, SOME = 2, 8  # images that are tried on a CPU; a GPU is tried with whole batches, in which it works
SHARE = 50  # one of so many images is tried at most, and then perhaps once more
WARM = 5  # seconds: what took longer than that needs no second try
LONG = 3600  # seconds: where a CPU takes longer, there is a better way


class Tried(NamedTuple, Generic[T]):
    """What some images took."""

    seconds: float  # an image
    images: int
    found: T  # what was made of them


def tried(work: Callable[[int], T], images: int, batch: int, device: str) -> Tried[T] | None:
    """Have `work` done on so many of the `images`, to learn what one takes; None where that costs more than it tells.

    The first try is there to warm up; a GPU compiles in it. Where it takes long on a CPU, it tells, and is the last.
    """
    most = min(batch, images // SHARE)
    sizes = [min(FEW, most), min(SOME, most)] if device == "cpu" else [batch, batch]
    if not most or most < sizes[-1]:  # no image, or no whole batch
        return None
    for size in sizes:
        start = time.monotonic()
        found = work(size)
        seconds = time.monotonic() - start
        if device == "cpu" and seconds > WARM:
            break
    return Tried(seconds / size, size, found)


def telling(items: Iterator[T], cold: int, say: Callable[[float], None]) -> Iterator[T]:
    """Pass `items` on, and `say` how many seconds one of them took whoever took it, the first after `cold` others."""
    for number, item in enumerate(items):
        start = time.monotonic()
        yield item
        if number == cold:
            say(time.monotonic() - start)


def takes(number: int, seconds: float) -> str:
    """The time of so many things, of which one takes so many seconds."""
    minutes = round(number * seconds / 60)
    if minutes >= 100:
        return f"{seconds:.2g} s each: about {number * seconds / 3600:.1f} hours"
    return f"{seconds:.2g} s each: " + (f"about {minutes} minutes" if minutes > 1 else "less than two minutes")
