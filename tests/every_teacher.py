"""Every teacher that there is, before the same images, each made to say what a test wants of each image.

A hosted one is told by the script of its server, the model on this machine by what it writes, the file by its rows.
"""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from m3agiqa.files import read_json, write_json
from m3agiqa.mllm.conversation import Conversation
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.readings import Written
from pipeline.settings import load
from stages import source
from tests import gemini_server, openai_server, tiny_mllm
from tests.caption_project import ASPECTS
from tests.captioned import IMAGES
from tests.gemini_server import TEXTS, GeminiServer
from tests.openai_server import OpenAIServer

Said = Callable[[int], Mapping[str, str]]  # by the image's number: what is said, by aspect
Script = Callable[[Any], Any]  # of a server, from a request to a move
KEY_VARIABLE = "A_KEY"
PARAMS = Path(__file__).parents[1] / "params.yaml"


def well(_number: int) -> Mapping[str, str]:
    """Nothing is wrong with any image's explanations."""
    return {aspect: TEXTS[aspect] for aspect in ASPECTS}


@dataclass
class Hosted:
    """A teacher behind HTTP. `moves` is the module of its server; the same thing has the same name in each."""

    kind: str
    server: GeminiServer | OpenAIServer
    moves: ModuleType
    refusal: Script  # the model will not describe the image
    refused: str  # what then stands as the reason
    cut: str  # the finish reason of a truncated answer
    tries: int = 3

    def say(self, said: Said) -> None:
        self.server.script = lambda request: self.moves.answer(request, said=said(number(request)))

    def but(self, image: int, script: Script) -> None:
        """Answer well, but this image as the script says."""
        well_answered = self.moves.answer
        self.server.script = lambda request: (script if number(request) == image else well_answered)(request)

    def fail(self, image: int) -> str:
        self.but(image, lambda _: self.moves.bad_image())
        return "request: "

    def cut_off(self, image: int, said: str) -> None:
        """Of its answer about this image there is no more than what is `said`."""
        self.but(image, lambda request: self.moves.answer(request, finish=self.cut, said=said))

    def asked(self, image: int | None = None) -> int:
        """How often, about this image or all."""
        return sum(image in (None, number(request)) for request in self.server.requests)

    def aspects(self, image: int) -> list[set[str]]:
        """That were asked for, request by request."""
        return [set(request.aspects) for request in self.server.requests if number(request) == image]


@dataclass
class Local:
    """The model on this machine, with its words put into its mouth."""

    patch: pytest.MonkeyPatch
    kind: str = "mllm"
    tries: int = 2
    asks: list["Ask"] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)  # how many were asked at once

    def say(self, said: Said) -> None:
        """In JSON where it is asked for all aspects, else in plain words."""

        self.speak(lambda ask: Written(ask.answer(said(ask.number)), ended=True))

    def speak(self, speak: Callable[["Ask"], Written]) -> None:
        """Answer what is asked so."""

        def questions(_model: LocalMLLM, _images: Any, asked: Sequence[Conversation], _most: int) -> list[Ask]:
            return [Ask.of(chat[0]["content"][1]["text"]) for chat in asked]

        def answers(_model: LocalMLLM, asks: list[Ask], _most: int) -> list[Written]:
            self.asks += asks
            self.batches.append(len(asks))
            return [speak(ask) for ask in asks]

        self.patch.setattr(LocalMLLM, "questions", questions)
        self.patch.setattr(LocalMLLM, "answers", answers)

    def fail(self, image: int) -> str:
        self.say(lambda number: dict.fromkeys(ASPECTS, "No.") if number == image else well(number))
        return "unusable: fewer than 15 letters"

    def cut_off(self, image: int, said: str) -> None:
        def speak(ask: Ask) -> Written:
            return Written(said if ask.number == image else ask.answer(well(ask.number)), ended=ask.number != image)

        self.speak(speak)

    def asked(self, image: int | None = None) -> int:
        return sum(image in (None, ask.number) for ask in self.asks)

    def aspects(self, image: int) -> list[set[str]]:
        return [set(ask.aspects) for ask in self.asks if ask.number == image]


class Ask(NamedTuple):
    """What the model on this machine is asked."""

    number: int  # of the image
    aspects: list[str]
    together: bool  # all aspects, as JSON

    @classmethod
    def of(cls, words: str) -> "Ask":
        aspects = [aspect for aspect in ASPECTS if f"\n- {aspect}:" in words]
        return cls(int(re.search(r"ball (\d+)", words)[1]), aspects, together="JSON" in words)

    def answer(self, said: Mapping[str, str]) -> str:
        """In JSON where it is asked for all aspects, else in plain words."""
        return json.dumps(said) if self.together else said[self.aspects[0]]


@dataclass
class File:
    """A file of explanations."""

    path: Path
    kind: str = "file"
    tries: int = 0  # nobody is asked

    def say(self, said: Said, images: range | set[int] = range(IMAGES)) -> None:
        with self.path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.DictWriter(file, ["name", *ASPECTS])
            rows.writeheader()
            rows.writerows({"name": f"{number}.png", **said(number)} for number in images)

    def fail(self, image: int) -> str:
        self.say(well, set(range(IMAGES)) - {image})
        return "not in the file"

    def asked(self, _image: int | None = None) -> int:
        return 0


@dataclass
class Rules:
    """The teacher `offline`, which says what it measures."""

    kind: str = "offline"

    def say(self, _said: Said) -> None:
        """Nobody tells it."""

    def asked(self, _image: int | None = None) -> int:
        return 0


def number(request: gemini_server.Request | openai_server.Request) -> int:
    """Of the image that a request is about."""
    return int(request.text.split('"ball ')[1].split('"')[0])


def gemini(server: GeminiServer, patch: pytest.MonkeyPatch) -> Hosted:
    patch.setenv("GEMINI_API_KEY", gemini_server.KEY)
    patch.setenv("GEMINI_API_ENDPOINT", server.url)
    refused = "prompt: PROHIBITED_CONTENT"
    return Hosted("gemini", server, gemini_server, gemini_server.blocked_prompt, refused, "MAX_TOKENS")


def openai(server: OpenAIServer, patch: pytest.MonkeyPatch) -> Hosted:
    patch.setenv(KEY_VARIABLE, openai_server.KEY)
    return Hosted("openai", server, openai_server, openai_server.refusal, "answer: REFUSAL", "length")


def openai_params(server: OpenAIServer, **changes: Any) -> dict[str, Any]:
    """What is set for the teacher `openai` to ask this server."""
    settings = {"base_url": server.base_url, "key_variable": KEY_VARIABLE, "model": openai_server.MODEL} | changes
    return {"teacher": "openai"} | {f"teachers.openai.{name}": value for name, value in settings.items()}


def mllm_params(folder: Path) -> dict[str, Any]:
    """What is set for the teacher `mllm` to be a model of a few random weights in `folder`."""
    model = {"model": str(roomy(tiny_mllm.smolvlm(folder))), "max_new_tokens": 40, "max_length": 2000}
    chosen = {"teacher": "mllm", "teachers.mllm.mllm": "tiny"}
    return chosen | {f"mllms.tiny.{name}": value for name, value in model.items()}


def roomy(folder: Path) -> Path:
    """A tiny model, for sequences as long as a tokenizer that knows few words makes of a teacher's question."""
    settings = read_json(folder / "config.json")
    for section in (settings, settings.get("text_config", {})):
        if "max_position_embeddings" in section:
            section["max_position_embeddings"] = 4096
    write_json(folder / "config.json", settings)
    return folder


def look_at_sources() -> None:
    """What the stage before sees of the teacher `mllm`."""
    Path("data/my_images").mkdir(exist_ok=True)
    source.main(load())
