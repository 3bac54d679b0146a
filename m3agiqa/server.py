"""Scores over HTTP: images and prompts in as a form, JSON out, batches made of what many clients send.

FastAPI (requirements-serve.txt) reads the form; m3agiqa/gate.py looks at key and bytes before that. An image is decoded
by a thread of a small pool, beside the model that m3agiqa/batching.py has: a bad file never comes near a batch. Clients
send bytes; nothing that they write is taken for a path or an address.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import FrameType
from typing import Annotated, Any

import python_multipart  # noqa: F401 (fastapi reads forms with it, and looks for it late)
import uvicorn
from fastapi import Depends, FastAPI, File, Form, HTTPException, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from m3agiqa.answers import Answer, AspectAnswer, AspectScore, Health, JudgeAnswer, LimitsAnswer, Refusal, ScoredImage
from m3agiqa.batching import UNEXPECTED, Batcher, Full, Scores
from m3agiqa.errors import InputError
from m3agiqa.exits import INTERRUPTED
from m3agiqa.gate import HEALTH, SCORES, Gate, Limits, Metrics, refusal
from m3agiqa.given import open_image
from m3agiqa.images import MAX_PIXELS
from m3agiqa.score import Score
from m3agiqa.scorer import Scorer

DECODERS = max(2, min(8, (os.cpu_count() or 1) // 2))  # threads; each may hold one image beside `Limits.pixels`
REFUSALS = {401: "no key", 408: "too slow", 413: "too large", 422: "not as asked for", 503: "busy: see Retry-After"}

log = logging.getLogger(__name__)


def create_app(scorer: Scorer, *, key: str | None = None, limits: Limits | None = None) -> FastAPI:
    """The app, with a thread that has the scorer; the end of the app's lifespan ends it.

    Args:
        scorer: what scores; its aspects are what can be asked for.
        key: what every request but /health must bring as `Authorization: Bearer KEY`; None: whoever comes may ask.
        limits: what clients may ask for.

    Raises:
        InputError: an aspect's card does not belong to its parts.
    """
    limits, metrics = limits or Limits(), Metrics()
    service = Service(scorer, limits, metrics)
    app = FastAPI(
        title="m3agiqa: images and prompts in, scores with a reason out",
        version="1",
        lifespan=service.lifespan,
        docs_url=None if key else "/docs",  # a page with a script from elsewhere: nothing to type a key into
        redoc_url=None,
        dependencies=[Depends(HTTPBearer(auto_error=False))] if key else [],  # for /openapi.json; the gate looks
    )
    refusals: dict[int | str, dict[str, Any]] = {
        code: {"model": Refusal, "description": told} for code, told in REFUSALS.items()
    }
    app.add_api_route(SCORES, service.score, methods=["POST"], responses=refusals)
    app.add_api_route("/v1/judge", service.judge, methods=["GET"])
    app.add_api_route(HEALTH, service.health, methods=["GET"], responses={503: {"model": Health}})
    app.add_api_route("/metrics", service.metric, methods=["GET"], response_class=PlainTextResponse)
    app.add_exception_handler(Full, _full)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Gate, key=key, limits=limits, metrics=metrics)
    return app


def serve(app: FastAPI, bound: socket.socket) -> None:
    """Answer at a bound socket until a signal comes, and then what has come before it; a second Ctrl-C ends it now.

    Raises:
        KeyboardInterrupt: it was Ctrl-C.
    """
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, ws="none", lifespan="on")
    server = uvicorn.Server(config)
    orderly = server.handle_exit

    def handle(number: int, frame: FrameType | None) -> None:
        if server.should_exit and number == signal.SIGINT:
            os._exit(INTERRUPTED)  # uvicorn's own way goes on in threads until all that waits is scored
        orderly(number, frame)

    server.handle_exit = handle
    server.run(sockets=[bound])


class Service:
    """What the addresses do."""

    def __init__(self, scorer: Scorer, limits: Limits, metrics: Metrics) -> None:
        self.limits, self.metrics, self.aspects = limits, metrics, scorer.aspects
        self.about = JudgeAnswer(
            aspects={aspect: AspectAnswer.of(scorer.card(aspect), fast=scorer.fast) for aspect in scorer.aspects},
            limits=LimitsAnswer(
                request_bytes=limits.request_bytes,
                images=limits.images,
                image_pixels=MAX_PIXELS,
                prompt_characters=limits.prompt,
            ),
        )
        self.decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="decoder")
        self.batcher = Batcher(scorer, places=limits.places, pixels=limits.pixels, watch=metrics.batch)
        metrics.places.set_function(lambda: self.batcher.taken)

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:  # uvicorn waits for its requests before: what waits here now is answered
            await asyncio.to_thread(self.close)

    def close(self) -> None:
        """End the threads, once what has come is answered."""
        self.decoders.shutdown()
        self.batcher.close()

    async def score(
        self,
        images: Annotated[list[UploadFile], File(description="Files: PNG, JPEG, WebP, AVIF, TIFF, BMP or GIF.")],
        prompts: Annotated[
            list[str] | None, Form(description="What each image was generated from, in order; empty if not known.")
        ] = None,
        aspect: Annotated[str | None, Form(description="One aspect; otherwise all that the judge has.")] = None,
    ) -> Answer:
        """Score images. Each has an answer of its own, in order: one that is no image says so there."""
        texts = prompts or [""] * len(images)
        self._check(images, texts, aspect)
        aspects = (aspect,) if aspect else self.aspects
        loop = asyncio.get_running_loop()

        async def scored(image: UploadFile, prompt: str) -> ScoredImage:
            put = await loop.run_in_executor(self.decoders, self._put, image, prompt, aspects)
            return self._told(await asyncio.wrap_future(put))

        with self.batcher.admitted(len(images)):
            return Answer(images=list(await asyncio.gather(*map(scored, images, texts))))

    async def judge(self) -> JudgeAnswer:
        """What can be asked for, on which scales, how sure it is, and how much may come at once."""
        return self.about

    async def health(self, response: Response) -> Health:
        """Whether an image that came now would be scored. It needs no key."""
        if self.batcher.running:
            return Health(status="ready")
        response.status_code = 503
        return Health(status="stopping")

    async def metric(self) -> Response:
        """For Prometheus."""
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    def _check(self, images: Sequence[UploadFile], prompts: Sequence[str], aspect: str | None) -> None:
        if len(images) > self.limits.images:
            raise HTTPException(413, f"{len(images)} images, and {self.limits.images} may come at once")
        if len(prompts) != len(images):
            raise HTTPException(422, f"{len(images)} images and {len(prompts)} prompts: one for each, or none at all")
        for place, prompt in enumerate(prompts):
            if len(prompt) > self.limits.prompt:
                raise HTTPException(
                    422, f"prompt {place} has {len(prompt):,} characters, more than {self.limits.prompt:,}"
                )
        if aspect and aspect not in self.aspects:
            raise HTTPException(422, f"aspect {aspect[:40]!r} is not here, only {', '.join(self.aspects)}")

    def _put(self, image: UploadFile, prompt: str, aspects: Sequence[str]) -> Future[Scores]:
        """In a thread of the pool: this takes a core, and waits until there is room for another image."""
        try:
            opened = open_image(image.file.read())
        except InputError as error:
            status = f"failed: {error}"
        except Exception:  # (a decoder's own, of a file that spoils no other)
            log.exception("a file of %s bytes could not be decoded", image.size)
            status = UNEXPECTED
        else:
            return self.batcher.put(opened, prompt, aspects)
        failed: Future[Scores] = Future()
        failed.set_result({aspect: Score(aspect, status) for aspect in aspects})
        return failed

    def _told(self, scores: Scores) -> ScoredImage:
        for aspect, score in scores.items():
            self.metrics.scores.labels(aspect, score.status.partition(":")[0]).inc()
        return ScoredImage(scores={aspect: AspectScore.of(score) for aspect, score in scores.items()})


async def _full(_request: Request, error: Full) -> JSONResponse:
    return refusal(503, str(error), {"Retry-After": str(error.seconds)})


async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    """One line in place of pydantic's list, which has what was sent in it."""
    first = error.errors()[0]
    return refusal(422, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}")
