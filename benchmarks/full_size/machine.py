"""The machine at hand: what it can do at most, how long it takes, how much memory it needs.

Without a GPU everything here runs as well, on so little that it shows that it works and no more.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from m3agiqa.device import device

ON_GPU = torch.cuda.is_available()
DTYPE = torch.bfloat16 if ON_GPU else torch.float32
SIDE, COPIED = (8192, 2 << 30) if ON_GPU else (256, 2 << 20)  # of a square matrix; bytes
CARDS = (24, 40, 80)  # GB
ROOM = 0.93  # of a card: the CUDA context and what lies unusable between tensors take the rest


@dataclass(frozen=True)
class Ceilings:
    """FLOP/s of a SIDE³ product, bytes/s of a copy (read and written)."""

    flops: float
    bytes: float


def where() -> torch.device:
    """Of several processes, each has a GPU of its own, and knows which when it has joined the others."""
    return torch.device(device("auto" if ON_GPU else "cpu"))


def ceilings() -> Ceilings:
    """The best of ten products and of ten copies."""
    a, b = torch.randn(2, SIDE, SIDE, device=where(), dtype=DTYPE)
    source = torch.empty(COPIED, dtype=torch.uint8, device=where())
    goal = torch.empty_like(source)
    product = min(seconds(lambda: a @ b) for _ in range(10))
    copy = min(seconds(lambda: goal.copy_(source)) for _ in range(10))
    return Ceilings(2 * SIDE**3 / product, 2 * source.nbytes / copy)


def wait() -> None:
    """Until a GPU has done what it was given."""
    if ON_GPU:
        torch.cuda.synchronize()


def seconds(action: Callable[[], object]) -> float:
    """Wall time of `action` until it is done on the device, too."""
    wait()
    start = time.perf_counter()
    action()
    wait()
    return time.perf_counter() - start


def forget_peak() -> None:
    """`peak` begins anew."""
    if ON_GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak() -> float:
    """GB of the GPU's memory that were in use at most; NaN without one."""
    return torch.cuda.max_memory_allocated() / 1e9 if ON_GPU else math.nan


def peak_of(action: Callable[[], object]) -> float:
    """GB of the GPU's memory that `action` needs, what lies there already included."""
    forget_peak()
    action()
    return peak()


def at_most() -> str:
    """`peak` in words."""
    return f"{peak():.0f} GB at most" if ON_GPU else "memory is measured on a GPU"


def largest_batches(peaks: Mapping[int, float]) -> str:
    """What fits on cards of other sizes, from the peaks of two batches: an image more takes what the last one took."""
    if not ON_GPU:
        return "is measured on a GPU"
    (few, low), (many, high) = sorted(peaks.items())
    each = (high - low) / (many - few)
    fits = [f"{max(0, math.floor((ROOM * card - low) / each) + few)} on {card} GB" for card in CARDS]
    return f"{low - few * each:.1f} GB and {each:.2f} GB an image; the largest batch: {', '.join(fits)}"
