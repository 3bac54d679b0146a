"""What a server's errors mean, in the four ways in which a teacher may fail (analyzers/teacher.py).

Servers agree on statuses, and on little else: the message lies in error.message (OpenAI, vLLM, llama.cpp, OpenRouter),
in error itself (LM Studio), at the top (SGLang), or is a page of HTML from something in between.
"""

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from analyzers.teacher import DailyQuota, Refused, TryAgain
from m3agiqa.errors import InputError

MOST_SAID = 300  # letters of an error: some servers repeat the whole request, picture included
LONGEST_WAIT = 3600  # seconds that a run sits out; whoever asks for more means another day
SHORTEST_DAY = 60  # seconds: where the day's requests are spent, a shorter wait is about the minute's
OF_A_REQUEST = {400, 413, 415, 422}  # statuses that may be about one request, its picture or its words
PASSING = {408, 409, 425, 499}  # and all from 500
OVERLOAD = 503
DAY = re.compile(r"per[ -]?day|daily", re.IGNORECASE)
UNPAID = re.compile(r"insufficient_quota|billing_hard_limit|billing_not_active")  # OpenAI's codes
NEVER = re.compile(r"not supported|unsupported|not implemented", re.IGNORECASE)  # a server without eyes answers 500
HELP = {
    401: "check {key}",
    402: "the account has no credit left",
    403: "check that {key} may use this model",
    404: "check teachers.{name}.model and base_url",
}


class ServerError(Exception):
    """The server answered with an error: its status, the body as JSON or text, and the headers in lower case."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        error = body.get("error", body) if isinstance(body, Mapping) else body
        said = (error.get("message") or error.get("detail")) if isinstance(error, Mapping) else error
        super().__init__(" ".join(str(said or "").split()))
        self.status, self.headers = status, headers
        self.whole = body if isinstance(body, str) else json.dumps(body)
        metadata = error.get("metadata") if isinstance(error, Mapping) else None
        self.metadata = metadata if isinstance(metadata, Mapping) else {}  # OpenRouter's

    @property
    def wait(self) -> float | None:
        """Seconds that the server asks for, if it does."""
        return _wait(self.headers, self.metadata.get("headers"))


class Lost(Exception):  # noqa: N818 (the answer is lost, not we)
    """No whole answer came: a timeout, a dropped connection, half a body. `sent`: the server may have made one."""

    def __init__(self, reason: str, *, sent: bool = True) -> None:
        super().__init__(reason)
        self.sent = sent


class Nobody(Lost):
    """Nothing listens at the address."""


def meaning(error: ServerError, *, name: str, key_variable: str | None, key: str | None) -> Exception:
    """What to do about it; what the server said is repeated without the key. `name` is the teacher's in params.yaml."""
    said = f"the server answers {error.status}: {error}"
    said = (said.replace(key, "…") if key else said)[:MOST_SAID]
    if error.status in (402, 429):
        return _too_much(error, said)
    if error.status in PASSING or error.status >= 500:
        if NEVER.search(str(error)) or error.status == 501:
            return Refused(said, f"check that the model of teachers.{name} sees images")
        return TryAgain(said, error.wait, perhaps_image=error.status != OVERLOAD)
    if error.status in OF_A_REQUEST and "api key" not in said.casefold():
        return Refused(said, f"check teachers.{name}, and that its model sees images")
    if error.status == 403 and "reasons" in error.metadata:  # a moderator flagged what was sent
        return Refused(said, "no request like this can succeed")
    advice = HELP.get(error.status, "check {key}, teachers.{name}.base_url and model")
    return InputError(f"{said} ({advice.format(name=name, key=key_variable or f'teachers.{name}.key_variable')})")


def _too_much(error: ServerError, said: str) -> Exception:
    """Of the minute's requests, of the day's, or of the account's money."""
    now, wait = time.time(), error.wait
    if error.status == 402 or UNPAID.search(error.whole):
        return InputError(f"{said} ({HELP[402]})")
    if DAY.search(error.whole) or (wait or 0) > LONGEST_WAIT:
        return DailyQuota(now, now + wait if wait and wait >= SHORTEST_DAY else None)
    return TryAgain(said, wait)


def _wait(headers: Mapping[str, str], inner: object) -> float | None:
    """Seconds, by Retry-After in its three forms, or by the time of the reset that OpenRouter tells in milliseconds.

    None where that is no time to come: then the wait grows from one attempt to the next.
    """
    told = {name.lower(): value for name, value in inner.items()} if isinstance(inner, Mapping) else {}
    told |= headers
    seconds = _number(told.get("retry-after-ms")) / 1000 or _seconds(told.get("retry-after")) or None
    if seconds is None and (reset := _number(told.get("x-ratelimit-reset"))) > 1e12:
        seconds = reset / 1000 - time.time()
    return seconds if seconds and seconds > 0 else None


def _number(text: object) -> float:
    """The number that a header has; 0 where it has none."""
    return float(text) if isinstance(text, str) and re.fullmatch(r"\d+(?:\.\d+)?", text) else 0.0


def _seconds(after: str | None) -> float:
    """Of a Retry-After: a number, or the time until a date; 0 where it is neither."""
    if seconds := _number(after):
        return seconds
    try:
        return parsedate_to_datetime(after or "").timestamp() - time.time()
    except ValueError:
        return 0.0
