"""Pictures that stand inside other files, a tar or a Parquet column, on the disk for as long as a run needs them.

Everything that opens, hashes or shows an image takes a path. So such pictures are written out first: on the disk they
take what they measure, once more, while the run lasts; in memory they take nothing. A file is named by its content, so
that a run that was killed says the same of it when it is started again, and runs at the same time share what is there.

Every run holds a lock together with the others. Who is alone there takes away what a killed run has left, at the start,
and what it wrote itself, at the end.
"""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from m3agiqa.errors import InputError
from m3agiqa.progress import ByteBar, byte_bar

DIGITS = 32  # of the content's SHA-256 in a file's name: nobody finds two contents that share them
NAME_END = 60  # characters of the name that it had, so that errors can be read


class Unpacked:
    """Writes pictures into `folder`, which is removed when neither this object nor another run needs it.

    Whoever uses a path holds the object as well, as ListedImage does. The folder is made for the first picture.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bars = ExitStack()
        self._bar: ByteBar | None = None
        if folder.exists():
            self._start()  # what a killed run has left goes, whatever this one is about

    def put(self, chunks: Iterable[bytes], name: str, size: int) -> Path:
        """Write a picture that is called `name` and takes `size` bytes; where it is now.

        Raises:
            InputError: the disk has less room than that.
        """
        bar = self._start() if self._bar is None else self._bar  # tqdm's has no truth
        if size > (free := shutil.disk_usage(self.folder).free):
            raise InputError(f"{name}: {size:,} bytes to unpack into {self.folder}, and the disk has {free:,} left")
        descriptor, temporary = tempfile.mkstemp(dir=self.folder)
        try:
            digest = hashlib.sha256()
            with open(descriptor, "wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                    bar.update(len(chunk))
            path = self._path(digest.hexdigest(), name)
            os.replace(temporary, path)  # not flushed: what a power cut spoils, the next run takes away
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return path

    def shown(self) -> None:
        """End the bar that shows how much is unpacked."""
        self._bars.close()

    def _start(self) -> ByteBar:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder.with_name(f"{self.folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
        weakref.finalize(self, _leave, lock, self.folder, os.getpid())
        _remove_if_alone(lock, self.folder)
        fcntl.flock(lock, fcntl.LOCK_SH)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._bar = self._bars.enter_context(byte_bar("unpack", None))
        return self._bar

    def _path(self, sha256: str, name: str) -> Path:
        place = self.folder / sha256[:2]
        place.mkdir(exist_ok=True)
        end = re.sub(r"[^\w.-]+", "_", name.rpartition("/")[2], flags=re.ASCII)[-NAME_END:]
        return place / f"{sha256[:DIGITS]}-{end}"


def _leave(lock: int, folder: Path, process: int) -> None:
    if os.getpid() == process:  # a forked child ends earlier, and takes nothing away
        _remove_if_alone(lock, folder)
    os.close(lock)


def _remove_if_alone(lock: int, folder: Path) -> None:
    """Remove `folder` where no other run holds `lock`, which is this run's alone after that."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    shutil.rmtree(folder, ignore_errors=True)
