"""An app of m3agiqa/server.py behind a real uvicorn, and what a client sends and gets."""

import io
import socket
import threading
import time
from contextlib import contextmanager

import httpx2
import uvicorn

from m3agiqa.answers import AspectScore
from m3agiqa.gate import Limits
from m3agiqa.scorer import Scorer
from m3agiqa.server import create_app
from tests.tiny_mllm import picture

KEY = "a-key-that-nobody-must-see"
JUNK = b"no image at all"


class Held(Scorer):
    """Waits to be let go."""

    def __init__(self, *given, **settings):
        super().__init__(*given, **settings)
        self.begun, self.free = threading.Event(), threading.Event()

    def score_batch(self, images, prompts, *, aspect):
        self.begun.set()
        assert self.free.wait(60)
        return super().score_batch(images, prompts, aspect=aspect)


class Served:
    """An app behind uvicorn, in a thread; `client` asks it."""

    def __init__(self, app):
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none"))
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        self.place = bound.getsockname()
        self.url = f"http://127.0.0.1:{self.place[1]}"
        self._thread = threading.Thread(target=self._server.run, args=([bound],))
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        self.client = httpx2.Client(base_url=self.url, timeout=60)

    def ask(self, *images, **data):
        files = [("images", (f"{place}.png", content)) for place, content in enumerate(images)]
        return self.client.post("/v1/scores", files=files, data=data)

    def stop(self):
        self._server.should_exit = True

    def ended(self):
        self._thread.join(60)
        return not self._thread.is_alive()


@contextmanager
def served(scorer, key=None, **limits):
    running = Served(create_app(scorer, key=key, limits=Limits(**limits)))
    try:
        yield running
    finally:
        running.client.close()
        if isinstance(scorer, Held):
            scorer.free.set()
        running.stop()
        assert running.ended()


def png(seed, **size):
    buffer = io.BytesIO()
    picture(seed, **size).save(buffer, "PNG")
    return buffer.getvalue()


def plain(score):
    return AspectScore.of(score).model_dump()


def told(answer):
    assert answer.status_code == 200, answer.text
    return [image["scores"] for image in answer.json()["images"]]


def refused(answer, code):
    assert answer.status_code == code, answer.text
    assert answer.json().keys() == {"detail"}
    return answer.json()["detail"]
