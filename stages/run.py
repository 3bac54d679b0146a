"""How every stage starts and ends, and where it keeps unfinished work."""

import errno
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from data.errors import InputError
from data.files import fingerprint, sha256
from stages import settings

BAD_INPUT = 2
NO_SPACE = 74
INTERRUPTED = 130
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


RANK = "RANK"  # set in each of several processes, by stages/processes.py or by `accelerate launch`
ONCE = 2  # seconds: an error that all processes meet is told by the first, which stops the others


def stage(main: Callable[[settings.Settings], None], *, parallel: bool = False) -> None:
    """Run a stage's `main` with the settings; exit with status 2 and one line where the input is at fault.

    A `parallel` one runs in as many processes as `runtime.launcher.processes` says.
    """
    name = Path(sys.argv[0]).stem
    start = time.monotonic()
    try:
        chosen = settings.load()
        if parallel and chosen.runtime.launcher.processes > 1 and RANK not in os.environ:
            from stages import processes  # noqa: PLC0415 (torch, which a stage may do without)

            processes.launch(f"stages.{name}", chosen.runtime.launcher.processes)
            return
        main(chosen)
    except InputError as error:
        if not _first():
            time.sleep(ONCE)
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        print(f"{name}: {error}; make room and run it again", file=sys.stderr)
        sys.exit(NO_SPACE)
    except KeyboardInterrupt:
        print(f"{name}: interrupted; run it again to go on from here", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if _first():
        print(f"{name}: done in {time.monotonic() - start:.1f} s", file=sys.stderr)


def _first() -> bool:
    return os.environ.get(RANK, "0") == "0"


class Scratch:
    """A stage's unfinished work, kept outside the outs, which DVC deletes before it runs a stage.

    The folder hangs under DVC_ROOT, which names the user's repository also when `dvc exp run --temp`
    runs a copy of it. It is named by what the work depends on, the inputs' hashes and the `code` that
    does it: the same work is found again, other work is left alone. One run at a time: a stage that
    outlived its `dvc` still holds the lock. Of a run's several processes the first one takes it, and
    the others `wait` for that.

    Left without an error, the work is finished: it stays, because DVC has yet to put the outs into its
    cache, and earlier finished work of the stage goes.
    """

    def __init__(
        self, stage_name: str, inputs: Any, code: Sequence[ModuleType], wait: Callable[[], None] = lambda: None
    ) -> None:
        files = [file for module in code for file in _files(module)]
        key = fingerprint([inputs, [sha256(file) for file in files]])
        self.path = Path(os.environ.get("DVC_ROOT", ".")) / ".cache" / stage_name / key[:16]
        self._wait = wait

    def __enter__(self) -> Self:
        if _first():
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

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if not _first():
            return
        if error is None:
            for folder in self.path.parent.iterdir():
                if folder != self.path and (folder / "finished").exists():
                    shutil.rmtree(folder)
            (self.path / "finished").touch()
        self._lock.close()


def _files(module: ModuleType) -> list[Path]:
    """A module's file; of a package, all its modules'."""
    file = Path(str(module.__file__))
    return sorted(file.parent.glob("*.py")) if file.name == "__init__.py" else [file]
