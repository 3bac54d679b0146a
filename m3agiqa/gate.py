"""Before a request is read: has it a key, and how many bytes has it? And what came of it, for /metrics.

Bytes are counted as they come, whatever a header says of them, a request's own and those of all together: bodies lie in
memory, their larger files on the disk, until they are answered.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

SCORES, HEALTH = "/v1/scores", "/health"
SIZES, SECONDS = (1, 2, 4, 8, 16, 32, 64, 128), (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)  # of histograms

Message = MutableMapping[str, Any]  # as ASGI has them
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """What clients may ask for. All are above 0."""

    request_bytes: int = 64 * 2**20
    all_bytes: int = 512 * 2**20  # of all requests that are under way
    images: int = 64  # a request
    prompt: int = 2000  # characters
    places: int = 256  # images of all requests that are under way; not fewer than `images`
    pixels: int = 128_000_000  # of all images that are decoded: 3 bytes each, and what the scorer makes of a batch
    silence: float = 30.0  # seconds, in which some part of a request must come


class Metrics:
    """What /metrics tells, of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        here = {"registry": self.registry, "namespace": "m3agiqa"}
        self.requests = Counter("requests", f"Answers of {SCORES}, by HTTP status", ["code"], **here)
        self.seconds = Histogram("request_seconds", "From a request's head to its answer", buckets=SECONDS, **here)
        self.scores = Counter("scores", "Scores, by the first word of their status", ["aspect", "status"], **here)
        self.images = Histogram("batch_images", "Images a batch", buckets=SIZES, **here)
        self.passes = Histogram("batch_seconds", "Seconds a batch, all aspects", buckets=SECONDS, **here)
        self.places = Gauge("images_under_way", "Images of requests that are not answered yet", **here)

    def batch(self, images: int, seconds: float) -> None:
        """As m3agiqa/batching.py has it watched."""
        self.images.observe(images)
        self.passes.observe(seconds)


class Gate:
    """ASGI middleware around everything else."""

    def __init__(self, app: App, key: str | None, limits: Limits, metrics: Metrics) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics
        self._expected = key and f"Bearer {key}".encode()
        self._held = 0  # bytes, of all requests

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if scope["path"] == SCORES:
            send = self._watched(send)
        given, declared = headers.get(b"authorization", b""), headers.get(b"content-length", b"")
        if self._expected and scope["path"] != HEALTH and not hmac.compare_digest(given, self._expected):
            wanted = "expected the header Authorization: Bearer, and the server's key"
            await refusal(401, wanted, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
        elif declared.isdigit() and int(declared) > self.limits.request_bytes:
            await refusal(413, self._too_large)(scope, receive, send)
        else:
            await self._pass(scope, receive, send)

    async def _pass(self, scope: Message, receive: Receive, send: Send) -> None:
        size, more = 0, True

        async def counted() -> Message:
            nonlocal size, more
            if not more:  # whoever asks now waits for the client to go away
                return await receive()
            try:
                async with asyncio.timeout(self.limits.silence):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"nothing came for {self.limits.silence:g} s") from None
            length, more = len(message.get("body", b"")), message.get("more_body", False)
            size += length
            self._held += length
            if size > self.limits.request_bytes:
                raise HTTPException(413, self._too_large)
            if self._held > self.limits.all_bytes:
                raise HTTPException(503, "too many bytes are under way; ask again in 1 s", {"Retry-After": "1"})
            return message

        try:
            await self.app(scope, counted, send)
        finally:
            self._held -= size

    @property
    def _too_large(self) -> str:
        return f"more than {self.limits.request_bytes:,} bytes; send fewer images at once"

    def _watched(self, send: Send) -> Send:
        begun = time.perf_counter()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.requests.labels(message["status"]).inc()
                self.metrics.seconds.observe(time.perf_counter() - begun)
            await send(message)

        return watched


def refusal(code: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An answer to a request as a whole: m3agiqa/answers.py, `Refusal`."""
    return JSONResponse({"detail": detail}, code, headers)
