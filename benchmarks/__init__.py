"""Measurements, printed as ratios to a floor that is stated. `make bench` runs them; README.md has the figures."""

import time
from collections.abc import Callable
from typing import Any


def seconds(action: Callable[[], Any], repeats: int = 3) -> float:
    """Wall time of the fastest of `repeats` runs: what others do on the machine only ever adds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)
