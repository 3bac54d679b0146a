"""Bringing files over HTTP, whole: an unfinished file goes on from where it was cut, a finished one is checked.

What has come lies in `.<name>.partial` beside the file's place, and stays there through a cut connection, a kill and a
reboot; the next attempt asks for the rest (a Range request). The file takes its name when size and hash are right.

Why not a library's downloader: pooch and huggingface_hub's `snapshot_download` verify, and throw the unfinished file
away when they are killed. Requests, proxies, busy servers and rate limits are huggingface_hub's business here too.
"""

import hashlib
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import httpx2
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import http_stream_backoff

from data.download.archives import Bar
from m3agiqa.errors import InputError
from m3agiqa.files import settle, sha256
from m3agiqa.progress import ByteBar

CONNECTIONS = 8  # at once: a data set on the hub may be thousands of small files
ATTEMPTS = 6  # that bring nothing, before the server is taken to be down
PAUSE = 0.5  # seconds before the next one; twice as long after each in vain
TIMEOUT = 30  # seconds without a byte


@dataclass(frozen=True)
class Remote:
    """A file on a server, its place here, and what is known of its content."""

    url: str
    path: Path
    size: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def partial(self) -> Path:
        return self.path.with_name(f".{self.path.name}.partial")

    def complaint(self, path: Path) -> str:
        """What is wrong with the file at `path`; nothing, if it is the one that is meant."""
        if self.size is not None and (size := _size(path)) != self.size:
            return f"{size:,} bytes, expected {self.size:,}"
        if self.sha256 and (found := sha256(path)) != self.sha256:
            return f"sha256 {found}, expected {self.sha256}"
        if self.git_sha1 and (found := _git_sha1(path)) != self.git_sha1:
            return f"git hash {found}, expected {self.git_sha1}"
        return ""


def download(remotes: Sequence[Remote], name: str, bar: Bar) -> None:
    """Bring all files, several at once. An error, or Ctrl-C, stops all of them; what came until then is kept.

    Raises:
        InputError: the server is down or has no such file, or what it has is not what was expected.
    """
    sizes = [remote.size for remote in remotes if remote.size is not None]
    stop = threading.Event()
    with (
        bar(f"download {name}", sum(sizes) if len(sizes) == len(remotes) else None) as shown,
        ThreadPoolExecutor(CONNECTIONS) as pool,
    ):
        running = [pool.submit(_Transfer(remote, shown, stop).run) for remote in remotes]
        try:
            for done in as_completed(running):
                done.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Stopped(Exception):  # noqa: N818
    """Another file failed, or the user wants no more."""


class _Transfer:
    """One file on its way."""

    def __init__(self, remote: Remote, shown: ByteBar, stop: threading.Event) -> None:
        self._remote, self._shown, self._stop = remote, shown, stop
        self._counted = 0  # bytes of this file that the bar has been told of

    def run(self) -> None:
        """Bring the file, unless it is here; a wrong one is fetched anew, once."""
        remote = self._remote
        if remote.path.exists() and not remote.complaint(remote.path):
            self._show(_size(remote.path))
            return
        remote.path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            try:
                self._receive()
            except (httpx2.HTTPError, OfflineModeIsEnabled) as error:
                kept = _size(remote.partial)
                how = f"; {kept:,} bytes are here, run it again to go on from there" if kept else ""
                raise InputError(f"{remote.url}: {reason(error)}{how}") from None
            complaint = remote.complaint(remote.partial)
            if not complaint:
                settle(remote.partial, remote.path)
                return
            remote.partial.unlink()
        raise InputError(f"{remote.url}: {complaint}, twice: not the file that was meant")

    def _receive(self) -> None:
        """Ask for what is lacking until nothing is. Only attempts in a row that bring nothing are counted."""
        vain = 0
        while True:
            before = _size(self._remote.partial)
            try:
                return self._ask()
            except httpx2.TransportError:
                vain = 0 if _size(self._remote.partial) > before else vain + 1
                if vain == ATTEMPTS:
                    raise
                self._stop.wait(PAUSE * 2**vain)

    def _ask(self) -> None:
        """One request for what the partial file lacks."""
        remote = self._remote
        with remote.partial.open("ab") as file:
            headers = {**remote.headers, "Accept-Encoding": "identity"}  # offsets count the file's own bytes
            if file.tell():
                headers["Range"] = f"bytes={file.tell()}-"
            with http_stream_backoff(
                "GET", remote.url, headers=headers, timeout=TIMEOUT, retry_on_exceptions=()
            ) as response:
                if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return  # nothing is lacking; the hash tells whether it is the file
                response.raise_for_status()
                begin = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
                file.seek(min(file.tell(), int(begin[1]) if begin else 0))  # a server may begin earlier than asked
                file.truncate()
                self._show(file.tell())
                for chunk in response.iter_raw():
                    file.write(chunk)
                    self._show(file.tell())
                if remote.size and file.tell() < remote.size:
                    raise httpx2.RemoteProtocolError("the connection was closed early")

    def _show(self, size: int) -> None:
        if self._stop.is_set():
            raise _Stopped
        with self._shown.get_lock():
            self._shown.update(size - self._counted)
        self._counted = size


def reason(error: BaseException) -> str:
    """One line on why the network did not give what was asked for."""
    if (response := getattr(error, "response", None)) is not None:
        return f"the server answered {response.status_code}"
    return " ".join(str(error).split()) or type(error).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _git_sha1(path: Path) -> str:
    """What git calls the content of a file by."""
    hasher = hashlib.sha1(f"blob {_size(path)}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hasher).hexdigest()
