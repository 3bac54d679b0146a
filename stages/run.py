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


def stage(main: Callable[[settings.Settings], None]) -> None:
    """Run a stage's `main` with the settings; exit with status 2 and one line where the input is at fault."""
    name = Path(sys.argv[0]).stem
    start = time.monotonic()
    try:
        main(settings.load())
    except InputError as error:
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
    print(f"{name}: done in {time.monotonic() - start:.1f} s", file=sys.stderr)


class Scratch:
    """A stage's unfinished work, kept outside the outs, which DVC deletes before it runs a stage.

    The folder hangs under DVC_ROOT, which names the user's repository also when `dvc exp run --temp`
    runs a copy of it. It is named by what the work depends on, the inputs' hashes and the `code` that
    does it: the same work is found again, other work is left alone. One process at a time: a stage
    that outlived its `dvc` still holds the lock.

    Left without an error, the work is finished: it stays, because DVC has yet to put the outs into its
    cache, and earlier finished work of the stage goes.
    """

    def __init__(self, stage_name: str, inputs: Any, code: Sequence[ModuleType]) -> None:
        files = [file for module in code for file in _files(module)]
        key = fingerprint([inputs, [sha256(file) for file in files]])
        self.path = Path(os.environ.get("DVC_ROOT", ".")) / ".cache" / stage_name / key[:16]

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise InputError(f"another run is at this work already ({self.path}): wait for it or stop it") from None
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
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
