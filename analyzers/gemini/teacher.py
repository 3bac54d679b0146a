"""Teacher `gemini`: one request an image, answered as JSON with one explanation an aspect.

Here is what the API means, whichever SDK speaks to it: which finish reasons are final, which errors pass, which
stop the run. An SDK's module (google_generativeai.py, google_genai.py) only sends and receives.

The key comes from GEMINI_API_KEY and goes nowhere but into the SDK; GEMINI_API_ENDPOINT names another server.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar

from analyzers.brief import brief
from analyzers.explanations import parse
from analyzers.gemini.picture import MOST_PIXELS_A_SIDE, Picture, picture
from analyzers.teacher import CUT, Answer, DailyQuota, Question, Refused, TryAgain, Usage
from m3agiqa.errors import InputError
from m3agiqa.files import fingerprint

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
KEY, ENDPOINT = "GEMINI_API_KEY", "GEMINI_API_ENDPOINT"
SDKS = {"google-generativeai": "google_generativeai", "google-genai": "google_genai"}
# The model gave no whole description, and why; any other end without text may be an accident.
ENDS = {"SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", CUT}
# Statuses that may be about one request, its picture or its words. Those about the account are not: a place, billing.
OF_A_REQUEST, OF_THE_ACCOUNT = {400, 413, 422}, "FAILED_PRECONDITION"
OVERLOAD = 503
HELP = {
    400: f"if it is about the key, check {KEY}, else teachers.gemini",
    401: f"check {KEY}",
    403: f"check that the project of {KEY} may use this model",
    404: "check teachers.gemini.model",
}


@dataclass(frozen=True)
class Reply:
    """A response as it came, in plain values."""

    text: str
    finish_reason: str  # "" where there is no candidate
    block_reason: str  # "" where the prompt was let through
    model_version: str
    prompt_tokens: int
    candidate_tokens: int
    total_tokens: int


class ApiError(Exception):
    """The service answered with an error status."""

    def __init__(self, status: int, name: str, message: str, details: Iterable[object] | None) -> None:
        super().__init__(message)
        self.status, self.name = status, name  # 400, and such as INVALID_ARGUMENT; "" where the service names none
        self.details = [detail for detail in details or () if isinstance(detail, Mapping)]


class Lost(Exception):  # noqa: N818 (the answer is lost, not we)
    """No whole answer came: a timeout, a dropped connection, half a body; or it was not even `sent`."""

    def __init__(self, reason: str, *, sent: bool = True) -> None:
        super().__init__(reason)
        self.sent = sent


class Sdk(Protocol):
    """What an SDK's module must offer. Raises ApiError or Lost, and never tries again by itself."""

    def generate(self, text: str, image: Picture, schema: dict[str, Any]) -> Reply: ...

    def count_tokens(self, text: str, image: Picture) -> int: ...


@dataclass(frozen=True)
class Prepared:
    """A request, ready to leave."""

    connection: Sdk
    text: str
    image: Picture
    schema: dict[str, Any]


@dataclass
class Gemini:
    """The teacher, with what shapes its answers; `sdk` and `timeout` do not."""

    model: str
    temperature: float
    max_output_tokens: int
    show_mos: bool
    sdk: str
    timeout: float
    thinking: str | int | None = None  # a level, or tokens at most; None: the model's own
    media_resolution: str | None = None
    tries: ClassVar[int] = 3
    _connected: Sdk | None = field(default=None, init=False)
    _connecting: threading.Lock = field(default_factory=threading.Lock, init=False)

    def key(self, question: Question) -> str:
        settings: list[Any] = [self.model, self.temperature, self.max_output_tokens, MOST_PIXELS_A_SIDE]
        levers = {"thinking": self.thinking, "media_resolution": self.media_resolution}
        if pulled := {name: value for name, value in levers.items() if value is not None}:
            settings.append(pulled)  # else the key is that of answers which were paid for before there were any
        return fingerprint([settings, question.sha256, self.text(question), schema(question)])

    def prepare(self, question: Question) -> Prepared:
        return Prepared(self._connection, self.text(question), picture(question.path), schema(question))

    def ask(self, prepared: Prepared) -> Answer:
        return answer(call(prepared.connection.generate, prepared.text, prepared.image, prepared.schema))

    def count_tokens(self, question: Question) -> int:
        """Input tokens of this question, as the service counts them; it costs nothing."""
        return call(self._connection.count_tokens, self.text(question), picture(question.path))

    def text(self, question: Question) -> str:
        return brief(question, show_mos=self.show_mos)

    @property
    def _connection(self) -> Sdk:
        """One for all threads, made when it is first needed."""
        with self._connecting:
            self._connected = self._connected or self._connect()
            return self._connected

    def _connect(self) -> Sdk:
        settings = {"temperature": self.temperature, "max_output_tokens": self.max_output_tokens, **self.levers()}
        try:
            module = import_module(f"analyzers.gemini.{SDKS[self.sdk]}")
        except ImportError as error:
            raise not_installed(self.sdk, error) from None
        connection: Sdk = module.Connection(api_key(), os.environ.get(ENDPOINT), self.model, settings, self.timeout)
        return connection

    def levers(self) -> dict[str, Any]:
        """What is said of thinking and resolution, where anything is."""
        said: dict[str, Any] = {}
        if self.thinking is not None:
            kind = "thinking_level" if isinstance(self.thinking, str) else "thinking_budget"
            said["thinking_config"] = {kind: self.thinking}
        if self.media_resolution is not None:
            said["media_resolution"] = f"MEDIA_RESOLUTION_{self.media_resolution.upper()}"
        return said


def api_key() -> str:
    """Raises InputError where there is none."""
    key = os.environ.get(KEY)
    if not key:
        raise InputError(f"{KEY} is not set: the teacher gemini needs a key (https://aistudio.google.com/apikey)")
    return key


def not_installed(sdk: str, error: ImportError) -> InputError:
    return InputError(f"teachers.gemini.sdk is {sdk}, which is not installed ({error.name})")


def call(method: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
    """What an SDK's method gives. Raises TryAgain, Refused, DailyQuota, InputError."""
    try:
        return method(*arguments, **named)
    except Lost as error:
        raise TryAgain(str(error), perhaps_image=error.sent, lost=error.sent) from None
    except ApiError as error:
        raise meaning(error) from None


def answer(reply: Reply) -> Answer:
    """What a response says."""
    why = reply.block_reason or (reply.finish_reason if reply.finish_reason in ENDS else None)
    return Answer(
        said=parse(reply.text),
        finish_reason=reply.finish_reason,
        model_version=reply.model_version,
        usage=Usage(
            reply.prompt_tokens,
            reply.candidate_tokens,
            max(0, reply.total_tokens - reply.prompt_tokens - reply.candidate_tokens),
        ),
        blocked=f"{'prompt' if reply.block_reason else 'answer'}: {why}" if why else None,
    )


def schema(question: Question) -> dict[str, Any]:
    aspects = list(question.mos)
    return {"type": "OBJECT", "properties": {aspect: {"type": "STRING"} for aspect in aspects}, "required": aspects}


def meaning(error: ApiError) -> Exception:
    """What to do about it; what the service said is repeated without the key."""
    said = f"Gemini answers {error.status}: {' '.join(str(error).split())}".replace(os.environ[KEY], "…")
    if error.status == 429:
        quotas = [quota for detail in error.details for quota in detail.get("violations", ())]
        if any("PerDay" in quota.get("quotaId", "") for quota in quotas):
            return DailyQuota(time.time())
        return TryAgain(said, _retry_delay(error.details))
    if error.status >= 500 or error.status in (408, 499):
        return TryAgain(said, perhaps_image=error.status != OVERLOAD)
    advice = HELP.get(error.status, "no request like this can succeed")
    if error.status in OF_A_REQUEST and error.name != OF_THE_ACCOUNT and "api key" not in said.casefold():
        return Refused(said, advice)
    return InputError(f"{said} ({advice})")


def _retry_delay(details: Sequence[Mapping[str, Any]]) -> float | None:
    delays = [re.fullmatch(r"(\d+(?:\.\d+)?)s", detail.get("retryDelay", "")) for detail in details]
    return max((float(delay[1]) for delay in delays if delay), default=None)
