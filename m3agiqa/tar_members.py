"""The files in a tar, one after another, from front to back; compressed or not, and whoever wrote it.

tarfile takes a lot on trust: it ends as if all were well at a header that it cannot read, goes back and forth for ever
at a size below zero, reads a header of gigabytes at once, and keeps all headers, a kilobyte a file. None of that here.
"""

import bz2
import gzip
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, NamedTuple, cast

from m3agiqa.errors import InputError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
# What opens a compressed one, by its beginning.
COMPRESSED: dict[bytes, Any] = {rb"\x1f\x8b": gzip.open, rb"BZh[1-9]1AY&SY": bz2.open, rb"\xfd7zXZ\0": lzma.open}
CHUNK = 1 << 20
MAX_HEADER = 1 << 20  # bytes: of a long name, or attributes
MAX_RATIO = 200  # of a compressed tar, unpacked to packed size, of what is above: beyond, it is a bomb
RATIO_FROM = 100 * 10**6
# What the libraries raise on damaged files; RecursionError of headers that announce headers.
DAMAGE = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, ValueError, OverflowError, RecursionError)


class Member(NamedTuple):
    """A file in a tar."""

    name: str
    size: int  # bytes, as its header says
    odd: str | None  # why it is not to be read: a link, …
    chunks: Iterator[bytes]  # its content, to be read before the next member is asked for; `size` bytes, or an error


def members(path: Path, shown: str) -> Iterator[Member]:
    """What is in the tar at `path` but for folders; errors call it `shown`.

    Raises:
        InputError: no such file, no tar, or a damaged one; also one without its end, for who knows what is missing.
    """
    if not path.is_file():
        raise InputError(f"{shown}: no such file")
    with _damage_told(shown):
        yield from _members(path, shown)


@contextmanager
def _damage_told(shown: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno:
            raise  # the disk's
        raise InputError(f"{shown}: not a tar, or damaged ({' '.join(str(error).split())})") from None


def _members(path: Path, shown: str) -> Iterator[Member]:
    with path.open("rb") as plain:
        begin = plain.read(16)
    opener = next((each for pattern, each in COMPRESSED.items() if re.match(pattern, begin)), None)
    limit = max(RATIO_FROM, MAX_RATIO * path.stat().st_size) if opener else path.stat().st_size
    with (
        cast("IO[bytes]", (opener or open)(path, "rb")) as file,
        tarfile.open(fileobj=cast("IO[bytes]", _Careful(file)), mode="r:") as tar,
    ):
        before = -1
        while (found := tar.next()) is not None:
            if found.size < 0 or tar.offset <= before:
                raise tarfile.ReadError(f"{found.name!r} has a size below zero")
            if tar.offset > limit + tarfile.BLOCKSIZE:
                raise tarfile.ReadError(f"{found.name!r} ends beyond {limit:,} bytes")
            before = tar.offset
            if not found.isdir():
                yield Member(found.name, found.size, _odd(found), _chunks(file, found, shown))
            tar.members = []  # type: ignore[attr-defined]  # the stubs leave it out
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"cut off, or no header at byte {tar.offset:,}")


def _chunks(file: IO[bytes], found: tarfile.TarInfo, shown: str) -> Iterator[bytes]:
    with _damage_told(shown):
        file.seek(found.offset_data)
        left = found.size
        while left:
            chunk = file.read(min(left, CHUNK))
            if not chunk:
                raise tarfile.ReadError(f"{found.name!r} is cut off")
            left -= len(chunk)
            yield chunk


def _odd(found: tarfile.TarInfo) -> str | None:
    if not found.isreg():
        return "a link" if found.issym() or found.islnk() else "a device"
    if found.issparse():
        return "a sparse file"
    path = PurePosixPath(found.name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(found.name).drive or "\0" in found.name:
        return "a name that leads outside"
    return None


class _Careful:
    """A file for tarfile, which reads as much as a header says, at once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)
