"""Teacher `openai`: vLLM, SGLang, llama.cpp, LM Studio, OpenRouter, OpenAI: one request an image, answered as JSON.

It is asked the same as Gemini, in the same words and with the same picture, and what it answers is checked alike. The
key comes from the environment variable that `key_variable` names, and goes nowhere but to the server; a server on this
machine needs none.
"""

import base64
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import httpx2

from analyzers.brief import as_json, brief
from analyzers.gemini.picture import MOST_PIXELS_A_SIDE, Picture, picture
from analyzers.openai.dialect import Dialect
from analyzers.openai.failures import Lost, Nobody, ServerError, meaning
from analyzers.openai.reply import answer
from analyzers.teacher import Answer, Question, TryAgain
from m3agiqa.errors import InputError
from m3agiqa.files import fingerprint

if TYPE_CHECKING:
    from analyzers.openai.server import Server

INSTALL = "pip install -r requirements-openai.txt -c constraints.txt"


@dataclass(frozen=True)
class Prepared:
    """A request, ready to leave but for how this server wants it."""

    server: "Server"
    body: dict[str, Any]
    aspects: list[str]


@dataclass
class OpenAI:
    """The teacher, with what shapes its answers; `name`, `key_variable` and `timeout` (seconds) do not."""

    base_url: str
    model: str
    temperature: float | None  # None: the server's own
    max_output_tokens: int
    show_mos: bool
    json_schema: bool
    extra: dict[str, Any]  # what else a request says
    key_variable: str | None
    timeout: float
    name: str = "openai"
    tries: ClassVar[int] = 3
    _connected: "Server | None" = field(default=None, init=False)
    _dialect: Dialect = field(init=False)
    _reached: bool = field(default=False, init=False)  # whether it has ever said anything
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self.base_url = self.base_url.rstrip("/")
        self._dialect = Dialect(schema=self.json_schema)

    def key(self, question: Question) -> str:
        settings = [self.base_url, self.model, self.temperature, self.max_output_tokens, self.json_schema, self.extra]
        return fingerprint([settings, MOST_PIXELS_A_SIDE, question.sha256, self._text(question)])

    def prepare(self, question: Question) -> Prepared:
        content = [{"type": "text", "text": self._text(question)}, _part(picture(question.path))]
        body: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": content}]}
        body |= {} if self.temperature is None else {"temperature": self.temperature}
        return Prepared(self._server, body, list(question.mos))

    def ask(self, prepared: Prepared) -> Answer:
        dialect = self._dialect
        told = dialect.settings(prepared.aspects, self.max_output_tokens)
        try:
            body = prepared.server.chat(prepared.body | told | self.extra)
            self._reached = True
            return answer(body)
        except Lost as error:
            if isinstance(error, Nobody) and not self._reached:  # no overload: it is not running, or elsewhere
                raise InputError(
                    f"{self.base_url}: {error} (start the server, or check teachers.{self.name}.base_url)"
                ) from None
            raise TryAgain(f"{self.base_url}: {error}", perhaps_image=error.sent, lost=error.sent) from None
        except ServerError as error:
            self._reached = True
            if other := dialect.after(error):
                with self._lock:
                    if self._dialect == dialect:  # else another thread has learnt something already
                        self._dialect = other
                raise TryAgain(f"the server answers {error.status}, and is asked in another way", wait=0.0) from None
            raise meaning(error, name=self.name, key_variable=self.key_variable, key=self._key()) from None

    def _text(self, question: Question) -> str:
        """The words, with the form of the answer, which not every server takes as a schema."""
        return f"{brief(question, show_mos=self.show_mos)}\n\n{as_json(question)}"

    @property
    def _server(self) -> "Server":
        """One for all threads, made when it is first needed."""
        with self._lock:
            self._connected = self._connected or self._connect()
            return self._connected

    def _connect(self) -> "Server":
        key = self._key()
        try:
            from analyzers.openai.server import Server  # noqa: PLC0415 (an optional extra)
        except ImportError as error:
            raise InputError(f"the teacher openai needs {error.name}, which is not installed: {INSTALL}") from None
        try:
            return Server(self.base_url, key, self.timeout)
        except httpx2.InvalidURL as error:
            raise InputError(f"teachers.{self.name}.base_url is {self.base_url}: {error}") from None

    def _key(self) -> str | None:
        if self.key_variable is None:
            return None
        key = os.environ.get(self.key_variable, "")
        if not key:
            raise InputError(f"{self.key_variable} is not set: teachers.{self.name}.key_variable names it")
        if not (key.isascii() and key.isprintable()):
            raise InputError(f"{self.key_variable} has letters that no key has")
        return key


def _part(image: Picture) -> dict[str, Any]:
    data = base64.b64encode(image.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{image.mime};base64,{data}"}}
