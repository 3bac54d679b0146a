"""How every stage starts and ends."""

import gc
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from m3agiqa.errors import InputError
from m3agiqa.exits import told_in_one_line
from pipeline import settings
from pipeline.ranks import RANK, is_first

ONCE = 2  # seconds: an error that all processes meet is told by the first, which stops the others


def stage(
    main: Callable[[settings.Settings], None], *, parallel: bool | Callable[[settings.Settings], bool] = False
) -> None:
    """Run a stage's `main` with the settings; exit with status 2 and one line where the input is at fault.

    A `parallel` one, as the settings may tell, runs in as many processes as `runtime.launcher.processes` says.
    """
    gc.freeze()  # what was imported is no garbage, neither now nor at the end
    gc.enable()
    name = Path(sys.argv[0]).stem
    start = time.monotonic()
    with told_in_one_line(name):
        chosen = settings.load()
        several = parallel(chosen) if callable(parallel) else parallel
        if several and chosen.runtime.launcher.processes > 1 and RANK not in os.environ:
            from pipeline import processes  # noqa: PLC0415 (torch, which a stage may do without)

            processes.launch(f"stages.{name}", chosen.runtime.launcher.processes)
            return
        try:
            main(chosen)
        except InputError:
            if not is_first():
                time.sleep(ONCE)
            raise
        if RANK in os.environ:
            from pipeline import processes  # noqa: PLC0415

            processes.leave()
    if is_first():
        print(f"{name}: done in {time.monotonic() - start:.1f} s", file=sys.stderr)
