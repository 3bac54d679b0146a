"""A local HTTP server that behaves like the Gemini API: what it does with each request, a test decides.

It answers `models/<m>:generateContent` and `:countTokens`, checks the key, and remembers what came and when. A
`script` is a function of the request that gives a Move, `count_script` one of the text to count; moves for the API's
many ways to fail are below.
"""

import json
import re
import socket
import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.local_http import LocalServer

KEY = "AIzaSy-not-a-real-key-0123456789"
TEXTS = {
    "quality": "Edges are crisp and there is little grain; colours are lively. It does well as a whole.",
    "correspondence": "All the things that were asked for can be found, in their places. It does well as a whole.",
    "authenticity": "Shapes are sound and light falls as it should. It does well as a whole.",
}


# google-generativeai asks for enums as numbers, and that is how the API then sends them.
FINISH_NUMBERS = {"STOP": 1, "MAX_TOKENS": 2, "SAFETY": 3, "RECITATION": 4, "OTHER": 5, "A_NEW_REASON": 99}
BLOCK_NUMBERS = {"SAFETY": 1, "OTHER": 2, "BLOCKLIST": 3, "PROHIBITED_CONTENT": 4, "IMAGE_SAFETY": 5}


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    number: int  # 0 for the first generateContent
    at: float
    image: str  # SHA-256 of the bytes
    text: str
    aspects: tuple[str, ...]  # of the response schema
    body: dict[str, Any]


@dataclass(frozen=True)
class Move:
    """A response: status and body, after `delay`; `sent` is the share of the body before the connection drops."""

    status: int
    body: dict[str, Any] | str
    delay: float = 0.0
    sent: float = 1.0


def answer(request: Request, **changes: Any) -> Move:
    """What was asked for, well answered; `changes` say what is wrong with it."""
    said = changes.get("said", {aspect: TEXTS[aspect] for aspect in request.aspects})
    text = said if isinstance(said, str) else json.dumps(said)
    finish, thinking = changes.get("finish", "STOP"), changes.get("thinking", 0)
    usage = {"promptTokenCount": prompt_tokens(request.text), "candidatesTokenCount": len(text) // 4}
    usage["totalTokenCount"] = sum(usage.values()) + thinking
    if thinking:
        usage["thoughtsTokenCount"] = thinking
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish, "index": 0}
    if changes.get("no_content"):
        candidate = {"finishReason": finish, "index": 0}
    body = {"candidates": [candidate], "usageMetadata": usage}
    body["modelVersion"] = changes.get("version", "gemini-3.8-flash")
    if cut := changes.get("cut"):
        body = json.dumps(body).partition(cut)[0]
    return Move(200, body, delay=changes.get("delay", 0.0), sent=changes.get("sent", 1.0))


def blocked_prompt(request: Request) -> Move:
    usage = {"promptTokenCount": prompt_tokens(request.text), "totalTokenCount": prompt_tokens(request.text)}
    feedback = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": usage}
    return Move(200, feedback | {"modelVersion": "gemini-3.8-flash"})


def error(status: int, message: str = "It failed.", details: Iterable[dict[str, Any]] = (), name: str = "") -> Move:
    names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
    name = name or names.get(status, "RESOURCE_EXHAUSTED" if status == 429 else "UNAVAILABLE")
    return Move(status, {"error": {"code": status, "message": message, "status": name, "details": list(details)}})


def bad_key() -> Move:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    return error(400, "API key not valid. Please pass a valid API key.", [info])


def bad_image() -> Move:
    return error(400, "Unable to process input image. Please retry or report it.")


def too_many(delay: str = "0.3s", quota: str = "GenerateRequestsPerMinutePerProjectPerModel") -> Move:
    violation = {"quotaMetric": "generativelanguage.googleapis.com/requests", "quotaId": quota}
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
    ]
    return error(429, "You exceeded your current quota.", details)


def daily_quota() -> Move:
    return too_many("22s", "GenerateRequestsPerDayPerProjectPerModel-FreeTier")


def _enums_as_numbers(body: dict[str, Any]) -> dict[str, Any]:
    body = deepcopy(body)
    for candidate in body.get("candidates", ()):
        candidate["finishReason"] = FINISH_NUMBERS[candidate["finishReason"]]
    if feedback := body.get("promptFeedback"):
        feedback["blockReason"] = BLOCK_NUMBERS[feedback["blockReason"]]
    return body


def count(text: str) -> Move:
    return Move(200, {"totalTokens": prompt_tokens(text)})


def prompt_tokens(text: str) -> int:
    return 258 + len(text) // 4


@dataclass
class GeminiServer(LocalServer):
    """Runs in threads of the test; use it as a context."""

    script: Callable[[Request], Move] = answer
    count_script: Callable[[str], Move] = count  # of a request's text
    requests: list[Request] = field(default_factory=list)
    counted: int = 0
    answered: list[Request] = field(default_factory=list)  # well, and to the last byte

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return _handler(self)

    def receive(self, body: dict[str, Any], at: float) -> Request:
        parts = body["contents"][0]["parts"]
        data = [part["inlineData"]["data"] for part in parts if "inlineData" in part]
        text = "".join(part.get("text", "") for part in parts)
        schema = body["generationConfig"].get("responseSchema", {})
        with self._lock:
            digest = sha256(data[0].encode()).hexdigest()
            aspects = tuple(schema.get("properties", {}))
            request = Request(len(self.requests), at, digest, text, aspects, body)
            self.requests.append(request)
        return request

    def prompts(self) -> list[str]:
        """The image prompts of all requests, in the order in which they came."""
        return [re.search(r'The prompt was: "(.*)"', request.text)[1] for request in self.requests]


def _handler(server: GeminiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            at = time.time()
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers.get("x-goog-api-key") != KEY:
                self._send(bad_key())
            elif self.path.partition("?")[0].endswith(":countTokens"):
                server.counted += 1
                inner = body.get("generateContentRequest", body)
                text = "".join(part.get("text", "") for part in inner["contents"][0]["parts"])
                self._send(server.count_script(text))
            else:
                request = server.receive(body, at)
                move = server.script(request)
                if "enum-encoding%3Dint" in self.path and isinstance(move.body, dict):
                    move = replace(move, body=_enums_as_numbers(move.body))
                self._send(move)
                if move.status == 200 and move.sent == 1:
                    server.answered.append(request)

        def _send(self, move: Move) -> None:
            time.sleep(move.delay)
            whole = (move.body if isinstance(move.body, str) else json.dumps(move.body)).encode()
            if move.sent > 0:
                self.send_response(move.status)
                self.send_header("Content-Type", "application/json; charset=UTF-8")
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
