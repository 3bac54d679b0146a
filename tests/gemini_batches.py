"""The local Gemini server with the Batch API and the Files API that it needs: jobs end as a test decides.

A job's requests are answered by the same `script` as those online, when the job is looked at for the last time before
it ends. All that was ever sent in a job is among `requests`, so that what is sent twice is seen.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.gemini_server import GeminiServer, Move, Request, error

CODES = {400: 3, 403: 7, 404: 5, 429: 8, 500: 13, 503: 14}  # HTTP's statuses as gRPC's


@dataclass
class Job:
    """What a client sent as one job."""

    number: int
    display_name: str
    file: str
    lines: dict[str, Request]  # by their key
    looks: int = 0
    state: str = "PENDING"
    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"batches/{self.number}"


def answered(server: "BatchServer", job: Job) -> list[dict[str, Any]]:
    """A line for each request, in another order."""
    return [_line(key, server.script(request)) for key, request in reversed(job.lines.items())]


def _line(key: str, move: Move) -> dict[str, Any]:
    if move.status == 200:
        return {"key": key, "response": move.body}
    return {"key": key, "error": {"code": CODES[move.status], "message": move.body["error"]["message"]}}


@dataclass
class BatchServer(GeminiServer):
    """Jobs end at the `patience`-th look with the state that `ends` says, and `answers` says what is in their file."""

    jobs: list[Job] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    patience: int = 2
    ends: Callable[[Job], str] = lambda _: "SUCCEEDED"
    answers: Callable[["BatchServer", Job], list[dict[str, Any]]] = answered
    creates: Callable[[Job], Move | None] = lambda _: (
        None
    )  # what is answered instead; `sent` 0: the job is there all the same
    largest: int = 0  # bytes of the largest file
    _files: int = 0

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _handler(self, super().handler())

    def create(self, batch: dict[str, Any]) -> Move:
        lines = map(json.loads, self.files[batch["inputConfig"]["fileName"]].splitlines())
        job = Job(len(self.jobs), batch["displayName"], batch["inputConfig"]["fileName"], {})
        if (instead := self.creates(job)) and instead.sent:
            return instead
        job.lines |= {line["key"]: self.receive(line["request"], time.time()) for line in lines}
        self.jobs.append(job)
        return instead or Move(200, self.seen(job))

    def look(self, job: Job) -> Move:
        job.looks += 1
        if job.state == "PENDING" and job.looks >= self.patience:
            job.state = self.ends(job)
            if "SUCCEEDED" in job.state:
                lines = self.answers(self, job)
                self.files[f"files/batch-{job.number}"] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        return Move(200, self.seen(job))

    def seen(self, job: Job) -> dict[str, Any]:
        metadata = {"displayName": job.display_name, "state": f"BATCH_STATE_{job.state}"}
        if f"files/batch-{job.number}" in self.files:
            metadata["output"] = {"responsesFile": f"files/batch-{job.number}"}
        return {"name": job.name, "metadata": metadata, "done": job.state != "PENDING"}

    def number(self) -> int:
        """Of the next file."""
        with self._lock:
            self._files += 1
            return self._files

    def times(self) -> Counter[tuple[str, tuple[str, ...]]]:
        """How often each image was sent with the same aspects."""
        return Counter((request.image, request.aspects) for request in self.requests)


def once(server: BatchServer) -> bool:
    """Whether nothing was sent twice."""
    return set(server.times().values()) == {1}


def _handler(  # noqa: C901 (all addresses in one place)
    server: BatchServer, online: type[BaseHTTPRequestHandler]
) -> type[BaseHTTPRequestHandler]:
    class Handler(online):
        def do_POST(self) -> None:  # noqa: N802 (the library's name)
            path = _path(self)
            if path == "upload":
                self._body()
                self._plain({"x-goog-upload-url": f"{server.url}/bytes/files/{server.number()}"})
            elif path.startswith("bytes/"):
                server.files[name := path.removeprefix("bytes/")] = content = self._body()
                server.largest = max(server.largest, len(content))
                self._plain({"x-goog-upload-status": "final"}, {"file": {"name": name}})
            elif path.endswith(":batchGenerateContent"):
                self._send(server.create(json.loads(self._body())["batch"]))
            else:
                super().do_POST()

        def do_GET(self) -> None:  # noqa: N802
            path = _path(self)
            if path == "batches":
                self._send(Move(200, {"operations": list(map(server.seen, server.jobs))}))
            elif found := re.fullmatch(r"batches/(\d+)", path):
                self._send(server.look(server.jobs[int(found[1])]))
            elif (name := path.removesuffix(":download")) in server.files:
                self._plain({}, server.files[name])
            else:
                self._send(error(404))

        def do_DELETE(self) -> None:  # noqa: N802
            server.files.pop(_path(self), None)
            self._plain({}, {})

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def _plain(self, headers: dict[str, str], body: Any = b"") -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    return Handler


def _path(handler: BaseHTTPRequestHandler) -> str:
    """Without what asks for an upload, and the API's version, which the SDK chooses for each method."""
    path = handler.path.partition("?")[0]
    return "upload" if path.startswith("/upload/") else re.sub(r"^/(v1(beta)?/)?", "", path)
