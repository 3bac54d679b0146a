"""How a program of ours ends: with its result, or with one line that says why not, and a status."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from m3agiqa.errors import InputError, WorkerError

SOME_FAILED = 1  # everything else was done
BAD_INPUT = 2
LOST = 71  # sysexits' EX_OSERR
NO_SPACE = 74  # sysexits' EX_IOERR
INTERRUPTED = 130  # 128 + SIGINT
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def told_in_one_line(program: str) -> Iterator[None]:
    """Turn bad input, a full disk, a lost process and Ctrl-C into one line and a status; the rest is a bug of ours."""
    try:
        yield
    except InputError as error:
        _end(f"{program}: {error}", BAD_INPUT)
    except WorkerError as error:
        _end(f"{program}: {error}", LOST)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        _end(f"{program}: {error}; make room and run it again", NO_SPACE)
    except KeyboardInterrupt:
        _end(f"{program}: interrupted; run it again to go on from here", INTERRUPTED)


def _end(line: str, status: int) -> None:
    print(line, file=sys.stderr)
    sys.exit(status)
