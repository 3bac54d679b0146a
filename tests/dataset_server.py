"""A local server with two layouts, a hub of data sets and files on the web: what goes wrong, a test decides.

It remembers every request, with the Range that was asked for. A `script` is a function of the request for a file that
gives a Fault, or None for a sound answer.
"""

import hashlib
import json
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.local_http import LocalServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 10_000  # bytes; from here on the hub keeps a file by its SHA-256


@dataclass(frozen=True)
class Request:
    number: int  # of the requests for this path, from 0
    path: str
    start: int | None  # of the Range; None: all of it


@dataclass(frozen=True)
class Fault:
    """What is wrong with an answer."""

    status: int | None = None  # instead of the file
    send: int | None = None  # bytes, and then the connection is cut,
    stall: float = 0  # after so many seconds
    corrupt: bool = False  # one bit of the body is another
    no_ranges: bool = False  # the whole file comes whatever was asked for
    early: int = 0  # a Range begins so many bytes before what was asked for


SOUND = Fault()


@dataclass
class DatasetServer(LocalServer):
    """Use it as a context. `web` has files by path, `hub` has data sets by owner/name, each with files by path."""

    web: dict[str, bytes] = field(default_factory=dict)
    hub: dict[str, dict[str, bytes]] = field(default_factory=dict)
    script: Callable[[Request], Fault | None] = lambda _: None
    requests: list[Request] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _handler(self)

    def of(self, end: str) -> list[Request]:
        """The requests for one file."""
        return [request for request in self.requests if request.path.endswith(end)]

    def receive(self, path: str, range_header: str | None) -> Request:
        start = re.fullmatch(r"bytes=(\d+)-", range_header or "")
        with self._lock:
            number = sum(request.path == path for request in self.requests)
            request = Request(number, path, int(start[1]) if start else None)
            self.requests.append(request)
        return request

    def content(self, path: str) -> bytes | None:
        """What lies at a path of the web, or of a data set at COMMIT."""
        if match := re.fullmatch(rf"/datasets/([^/]+/[^/]+)/resolve/{COMMIT}/(.+)", path):
            return self.hub.get(match[1], {}).get(match[2])
        return self.web.get(path)

    def answer_api(self, path: str) -> Any:
        """The hub's JSON: what a data set is, or which files it has."""
        match = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
        if not match or match[1] not in self.hub or match[3] not in {None, COMMIT}:
            return None
        if match[2] != "tree":
            return {"id": match[1], "sha": COMMIT, "siblings": []}
        return [entry(name, content) for name, content in self.hub[match[1]].items()]


def entry(path: str, content: bytes) -> dict[str, Any]:
    git = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
    found = {"type": "file", "oid": git, "size": len(content), "path": path}
    if len(content) >= LARGE:
        found["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return found


def _handler(server: DatasetServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path.startswith("/api/"):
                found = server.answer_api(path)
                error = {"X-Error-Code": "RepoNotFound"} if found is None else {}
                self._send(404 if error else 200, json.dumps(found or {"error": "not found"}).encode(), error)
                return
            request = server.receive(path, self.headers.get("Range"))
            fault = server.script(request) or SOUND
            content = server.content(path)
            if fault.status or content is None:
                self._send(fault.status or 404, b"", {})
            else:
                start = None if fault.no_ranges or request.start is None else request.start - fault.early
                status, body, headers = _part(content, start)
                if fault.corrupt:
                    body = bytes([body[0] ^ 1]) + body[1:]
                self._send(status, body, headers, fault)

        def _send(self, status: int, body: bytes, headers: dict[str, str], fault: Fault = SOUND) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if fault.send is None else body[: fault.send])
            if fault.send is not None:
                self.wfile.flush()
                time.sleep(fault.stall)
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


def _part(content: bytes, start: int | None) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of an answer to a Range that begins at `start`, or to none."""
    if start is None:
        return 200, content, {}
    if start >= len(content):
        return 416, b"", {"Content-Range": f"bytes */{len(content)}"}
    return 206, content[start:], {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
