"""A local HTTP server that behaves like those that speak OpenAI's API: what it does with a request, a test decides.

It answers `/v1/chat/completions`, checks the key where it has one, and remembers what came and when. A `script` is a
function of the request that gives a Move; moves for the many ways to fail are below, each as the server that is named
there puts it.
"""

import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.gemini_server import TEXTS, prompt_tokens
from tests.local_http import LocalServer

KEY = "sk-not-a-real-key-0123456789"
MODEL = "Qwen/Qwen3-VL-8B-Instruct"


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    number: int  # 0 for the first
    at: float
    image: str  # SHA-256 of its data URL
    text: str
    aspects: tuple[str, ...]  # that are asked for in words
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass(frozen=True)
class Move:
    """A response: status, body and headers, after `delay`; `sent` is the share of the body before it drops."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    sent: float = 1.0


def answer(request: Request, **changes: Any) -> Move:
    """What was asked for, well answered; `changes` say what is wrong with it."""
    said = changes.get("said", {aspect: TEXTS[aspect] for aspect in request.aspects})
    text = said if isinstance(said, str) else json.dumps(said)
    message = {"role": "assistant", "content": None if changes.get("no_content") else text}
    message |= changes.get("message", {})
    prompt, completion = prompt_tokens(request.text), len(text) // 4
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    choice = {"index": 0, "message": message, "finish_reason": changes.get("finish", "stop")}
    body: Any = {"id": "chatcmpl-0", "object": "chat.completion", "created": int(request.at), "choices": [choice]}
    body |= {"model": changes.get("version", request.body["model"]), "usage": changes.get("usage", usage)}
    if cut := changes.get("cut"):
        body = json.dumps(body).partition(cut)[0]
    return Move(200, body, delay=changes.get("delay", 0.0), sent=changes.get("sent", 1.0))


def error(status: int, message: str = "It failed.", headers: Mapping[str, str] | None = None, **more: Any) -> Move:
    """As OpenAI puts it, and most others: `more` goes beside the message."""
    return Move(status, {"error": {"message": message, "type": "an_error", "param": None, **more}}, headers or {})


def bad_key() -> Move:
    return error(401, f"Incorrect API key provided: {KEY}.", code="invalid_api_key")


def bad_image() -> Move:
    return error(400, "You uploaded an unsupported image.", code="invalid_image_format")


def too_many(after: str = "0.3") -> Move:
    return error(429, "Rate limit reached for requests.", {"Retry-After": after}, code="rate_limit_exceeded")


def daily_quota(seconds: float = 9000) -> Move:
    """OpenRouter's."""
    reset = {"X-RateLimit-Limit": "50", "X-RateLimit-Reset": str(int((time.time() + seconds) * 1000))}
    return error(429, "Rate limit exceeded: free-models-per-day. Add 10 credits", metadata={"headers": reset})


def no_schemas(request: Request) -> Move:
    """A server that takes no schema; OpenAI's words."""
    if "response_format" in request.body:
        message = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
        return error(400, message, param="response_format")
    return answer(request)


def refusal(request: Request) -> Move:
    return answer(request, no_content=True, message={"refusal": "I'm sorry, I can't help with that."})


@dataclass
class OpenAIServer(LocalServer):
    """Runs in threads of the test; use it as a context. Without a `key` it asks for none."""

    script: Callable[[Request], Move] = answer
    key: str | None = KEY
    requests: list[Request] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _handler(self)

    def receive(self, body: dict[str, Any], headers: Mapping[str, str], at: float) -> Request:
        parts = body["messages"][0]["content"]
        [url] = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        text = "".join(part.get("text", "") for part in parts)
        aspects = tuple(re.findall(r'"(\w+)"', text.rpartition("under its key:")[2]))
        with self._lock:
            number, image = len(self.requests), sha256(url.encode()).hexdigest()
            request = Request(number, at, image, text, aspects, body, {n.lower(): v for n, v in headers.items()})
            self.requests.append(request)
        return request

    def prompts(self) -> list[str]:
        """The image prompts of all requests, in the order in which they came."""
        return [re.search(r'The prompt was: "(.*)"', request.text)[1] for request in self.requests]


def _handler(server: OpenAIServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            at = time.time()
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions":
                self._send(Move(404, {"detail": "Not Found"}))
            elif server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
                self._send(bad_key())
            else:
                request = server.receive(body, self.headers, at)
                self._send(server.script(request))

        def _send(self, move: Move) -> None:
            time.sleep(move.delay)
            whole = (move.body if isinstance(move.body, str) else json.dumps(move.body)).encode()
            if move.sent > 0:
                self.send_response(move.status)
                for name, value in move.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(whole)))
                self.end_headers()
                self.wfile.write(whole[: int(len(whole) * move.sent)])
            if move.sent < 1:
                self.close_connection = True
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
