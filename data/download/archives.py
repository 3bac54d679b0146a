"""Unpacking archives that others made (zip, tar, 7z), and writing nothing but plain files inside one folder.

Nothing that an archive says of itself is believed: names are checked before anything is written, and bytes are
counted as they come, because a header may lie about them.

| refused                                   | why                                             |
|-------------------------------------------|-------------------------------------------------|
| absolute names, `..`, drives              | they write outside                              |
| links, devices                            | they point outside; no data set needs them      |
| a name that occurs twice                  | which one counts is not known                   |
| more than 200,000 files, more than 200 GB | no data set of this field comes near            |
| above 100 MB, more than 200 × its size    | a bomb: images hardly compress, and text 10-fold |
| more than the disk holds                  | before it is full                               |
| a password, damage                        | cannot be read                                  |
"""

import errno
import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Self, cast

import py7zr
from py7zr.exceptions import ArchiveError, PasswordRequired
from py7zr.io import Py7zIO, WriterFactory
from tqdm import tqdm

from m3agiqa.errors import InputError
from m3agiqa.files import sync_folder
from m3agiqa.progress import ByteBar

SUFFIXES = (".zip", ".7z", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_FILES = 200_000
MAX_BYTES = 200 * 10**9
MAX_RATIO = 200  # unpacked to packed size, of what is above
RATIO_FROM = 100 * 10**6
CHUNK = 1 << 20
UTF8_FLAG = 1 << 11  # of a member of a zip; without it names are in code page 437
# What the three libraries raise on damaged archives, as 40,000 damaged ones showed.
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, ArchiveError, lzma.LZMAError, zlib.error, struct.error, EOFError,
          OSError, ValueError)  # fmt: skip

Bar = Callable[[str, int | None], AbstractContextManager[ByteBar]]  # (what is done, bytes in all) -> a progress bar


def no_bar(desc: str, total: int | None) -> AbstractContextManager[ByteBar]:
    """A progress bar that shows nothing."""
    return tqdm(desc=desc, total=total, disable=True)


def is_archive(path: Path) -> bool:
    """Whether the name says so."""
    return path.name.lower().endswith(SUFFIXES)


def safe_path(name: str, where: object) -> PurePosixPath:
    """A name out of an archive or a listing, as a path that stays inside the folder it is put in.

    Raises:
        InputError: it would not.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or not path.parts or "\0" in name:
        raise InputError(f"{where}: {name!r} points outside its folder; nothing of it is written")
    return path


def unpack(archive: Path, folder: Path, *, bar: Bar = no_bar) -> None:
    """Unpack `archive`; `folder`, which does not exist yet, appears when all of it is on the disk.

    Raises:
        InputError: the archive is refused, as the table above says.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with bar(f"unpack {archive.name}", None) as shown:
            _extract(archive, _Budget(archive, partial, shown.update))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    os.sync()  # once, instead of a flush for each of thousands of files
    os.replace(partial, folder)
    sync_folder(folder.parent)


def _extract(archive: Path, budget: "_Budget") -> None:
    name = archive.name.lower()
    reader = _unzip if name.endswith(".zip") else _un7zip if name.endswith(".7z") else _untar
    try:
        reader(archive, budget)
    except InputError:
        raise
    except (PasswordRequired, RuntimeError) as error:  # zipfile's word for a password or an unknown compression
        raise InputError(f"{archive}: cannot be unpacked ({_line(error)})") from None
    except DAMAGE as error:
        if getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
            raise
        what = "damaged, or not the kind of archive that its name says"
        raise InputError(f"{archive}: {what} ({_line(error)})") from None


class _Budget:
    """What an archive may still write, and where."""

    def __init__(self, archive: Path, folder: Path, written: Callable[[int], object]) -> None:
        self.archive, self.folder, self._written = archive, folder, written
        self._names: set[PurePosixPath] = set()
        self._bytes = 0
        self._limit = min(MAX_BYTES, max(RATIO_FROM, MAX_RATIO * archive.stat().st_size))

    def plan(self, sizes: Iterator[int]) -> None:
        """Refuse by the sizes that the archive states, before anything is written."""
        planned = sum(sizes)
        self._check(planned)
        if planned > (free := shutil.disk_usage(self.folder).free):
            raise InputError(f"{self.archive}: unpacks to {planned:,} bytes, and the disk has {free:,} left")

    def place(self, name: str, *, plain: bool = True) -> Path:
        """Where the file of this name goes; its folder exists then."""
        path = safe_path(name, self.archive)
        if not plain:
            raise InputError(f"{self.archive}: {name!r} is a link or a device, expected plain files")
        if path in self._names:
            raise InputError(f"{self.archive}: {name!r} occurs twice")
        self._names.add(path)
        if len(self._names) > MAX_FILES:
            raise InputError(f"{self.archive}: more than {MAX_FILES:,} files")
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        return self.folder / path

    def spend(self, size: int) -> None:
        self._bytes += size
        self._check(self._bytes)
        self._written(size)

    def copy(self, source: IO[bytes], path: Path) -> None:
        with path.open("xb") as file:
            while chunk := source.read(CHUNK):
                self.spend(len(chunk))
                file.write(chunk)

    def _check(self, size: int) -> None:
        if size > self._limit:
            packed = self.archive.stat().st_size
            raise InputError(f"{self.archive}: unpacks to more than {self._limit:,} bytes out of {packed:,}; refused")


def _unzip(archive: Path, budget: _Budget) -> None:
    with zipfile.ZipFile(archive) as file:
        members = [member for member in file.infolist() if not member.is_dir()]
        budget.plan(member.file_size for member in members)
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive does not say
            path = budget.place(_name(member), plain=kind in {0, stat.S_IFREG})
            with file.open(member) as source:
                budget.copy(source, path)


def _name(member: zipfile.ZipInfo) -> str:
    """Its name as UTF-8 where it is that: macOS writes UTF-8, and does not set the flag that says so."""
    if member.flag_bits & UTF8_FLAG:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _untar(archive: Path, budget: _Budget) -> None:
    with tarfile.open(archive, "r:*") as file:  # read once, from front to back: a tar has no list of its members
        for member in file:
            if member.isdir():
                continue
            path = budget.place(member.name, plain=member.isreg())
            budget.copy(cast("IO[bytes]", file.extractfile(member)), path)  # None only of what is no file


def _un7zip(archive: Path, budget: _Budget) -> None:
    with py7zr.SevenZipFile(archive) as file:
        members = [member for member in file.list() if not member.is_directory]
        budget.plan(member.uncompressed for member in members)
        for member in members:
            budget.place(member.filename, plain=member.is_file and not member.is_symlink)
        with _Members(budget) as factory:
            file.extractall(budget.folder, factory=factory)  # noqa: S202 (names are checked, bytes are counted)


class _Members(WriterFactory):
    """Gives py7zr a file for each member, as it comes to it."""

    def __init__(self, budget: _Budget) -> None:
        self._budget = budget
        self._last: _Member | None = None

    def create(self, filename: str) -> Py7zIO:
        self._last = _Member(self._budget, Path(filename))
        return self._last

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._last:
            self._last.close()  # py7zr leaves it open where it finds damage


class _Member(Py7zIO):
    """A file to which py7zr writes."""

    def __init__(self, budget: _Budget, path: Path) -> None:
        self._budget = budget
        self._file = path.open("xb")

    def write(self, s: bytes | bytearray) -> int:
        self._budget.spend(len(s))
        return self._file.write(s)

    def close(self) -> None:
        self._file.close()

    def seekable(self) -> bool:
        return False

    def flush(self) -> None:
        self._file.flush()

    def size(self) -> int:
        return self._file.tell()

    def read(self, size: int | None = None) -> bytes:
        raise NotImplementedError

    def seek(self, offset: int, whence: int = 0) -> int:
        raise NotImplementedError


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
