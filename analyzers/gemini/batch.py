"""Gemini by batch: the same requests as online, many in a file, answered at half the price within a day as a rule.

It is in google-genai alone. Images stand in the file itself, so that a job needs nothing but its one file.
"""

import base64
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from analyzers.gemini.picture import picture
from analyzers.gemini.teacher import ENDPOINT, ApiError, Gemini, answer, api_key, call, meaning, not_installed, schema
from analyzers.service import State
from analyzers.teacher import Answer, Question, TryAgain
from m3agiqa.errors import InputError

if TYPE_CHECKING:
    from analyzers.gemini.google_genai_jobs import Connection

SDK = "google-genai"
# A line's error has a code of gRPC; a request's has HTTP's, which teacher.py knows.
HTTP = {3: 400, 4: 504, 5: 404, 7: 403, 8: 429, 9: 400, 13: 500, 14: 503, 16: 401}
NAMES = {9: "FAILED_PRECONDITION"}


@dataclass
class GeminiBatch:
    """How `teacher` is asked many questions at once. Methods that reach the service raise what Teacher.ask does."""

    teacher: Gemini
    share: ClassVar[float] = 0.5  # of the price
    # The service takes 2 GB a file and 20 GB in all; jobs of this size end sooner, and one that expires loses less.
    most_bytes: ClassVar[int] = 500_000_000
    most_requests: ClassVar[int] = 5000
    most_jobs: ClassVar[int] = 10  # at once; the service allows a hundred

    def line(self, key: str, question: Question) -> bytes:
        """One request of a file, to be answered under `key`."""
        image = picture(question.path)
        data = {"mimeType": image.mime, "data": base64.b64encode(image.data).decode()}
        parts = [{"inlineData": data}, {"text": self.teacher.text(question)}]
        request = {"contents": [{"role": "user", "parts": parts}], "generationConfig": self._config(question)}
        return json.dumps({"key": key, "request": request}).encode() + b"\n"

    def answer(self, line: dict[str, Any]) -> Answer:
        """What a line of the answers says. Raises TryAgain, Refused, DailyQuota, InputError where it is an error."""
        from analyzers.gemini.google_genai import NOT_THE_API, reply  # noqa: PLC0415 (an optional extra)

        try:
            if response := line.get("response"):
                return answer(reply(response))
            error = line.get("error") or line.get("status") or {}
            code, message = int(error.get("code") or 0), str(error.get("message") or "")
            found = ApiError(HTTP.get(code, code if code >= 400 else 500), NAMES.get(code, ""), message, ())
        except NOT_THE_API as wrong:
            raise TryAgain(f"an answer of another shape ({type(wrong).__name__})") from None
        raise meaning(found)

    def upload(self, requests: Path, name: str) -> str:
        return call(self._connection.upload, requests, name)

    def create(self, file: str, name: str) -> str:
        return call(self._connection.create, file, name)

    def find(self, name: str) -> str | None:
        return call(self._connection.find, name)

    def look(self, job: str) -> State:
        return call(self._connection.look, job)

    def fetch(self, file: str, to: Path) -> None:
        call(self._connection.fetch, file, to)

    def discard(self, file: str) -> None:
        call(self._connection.discard, file)

    def _config(self, question: Question) -> dict[str, Any]:
        """The API's own names, as google-genai writes them online."""
        teacher = self.teacher
        config: dict[str, Any] = {
            "temperature": teacher.temperature,
            "maxOutputTokens": teacher.max_output_tokens,
            "responseMimeType": "application/json",
            "responseSchema": {**schema(question), "propertyOrdering": list(question.mos)},
        }
        if isinstance(teacher.thinking, str):
            config["thinkingConfig"] = {"thinkingLevel": teacher.thinking.upper()}
        elif teacher.thinking is not None:
            config["thinkingConfig"] = {"thinkingBudget": teacher.thinking}
        if resolution := teacher.levers().get("media_resolution"):
            config["mediaResolution"] = resolution
        return config

    @cached_property
    def _connection(self) -> "Connection":
        if self.teacher.sdk != SDK:
            raise InputError(
                f"{self.teacher.sdk} knows no batches: pip install -r requirements-genai.txt and "
                f"-S teachers.gemini.sdk={SDK}"
            )
        try:
            from analyzers.gemini.google_genai_jobs import Connection  # noqa: PLC0415 (an optional extra)
        except ImportError as error:
            raise not_installed(SDK, error) from None
        return Connection(api_key(), os.environ.get(ENDPOINT), self.teacher.model, self.teacher.timeout)
