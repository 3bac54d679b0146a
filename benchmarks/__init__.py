"""Measurements, printed as ratios to a floor that is stated. `make bench` runs them; README.md here has the figures."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def seconds(action: Callable[[], Any], repeats: int = 3) -> float:
    """Wall time of the fastest of `repeats` runs: what others do on the machine only ever adds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_memory(process: int | str = "self") -> float:
    """Most MB that a process has had in memory, on Linux; what getrusage says includes its parent's, before exec."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    if found is None:  # the process is ending
        raise OSError(f"process {process} has no memory any more")
    return int(found[1]) / 1000
