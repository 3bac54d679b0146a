"""Teacher `mllm`: a vision-language model on this machine, asked in the hosted teachers' words. It sees no scores.

All aspects of an image are asked for in one request, to be answered as JSON: first, and where there is room beside an
image that is seen no smaller for it. What that does not bring is asked for alone, to be answered in plain words. It is
greedy, so a third time would bring the words of the second.

Small models write JSON that is nearly so, also where plain words are wanted, and any answer may reach the limit of
tokens: of JSON what stands there whole is taken, of plain words the whole sentences.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

from PIL.Image import Image

from analyzers.brief import as_json, brief
from analyzers.explanations import parse, without_thoughts
from analyzers.ledger import ImageState
from analyzers.teacher import CUT, Answer, Question, Usage
from m3agiqa.files import fingerprint
from m3agiqa.images import image_size
from m3agiqa.mllm.conversation import Conversation
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.readings import Inputs, Written

ALONE = "Answer with the explanation itself and nothing else."
FENCE = re.compile(r"\A\s*```(?:\w*\s*\n)?|```\s*\Z")
JSON = re.compile(r"\A\s*[{\[]|\{\s*[\"']")  # begins here, and is not all: plain words have no such thing
SENTENCE_END = re.compile(r"[.!?][\"'”’»)]*(?=\s|$)|[。！？]")


class Request(NamedTuple):
    """What is asked of an image at once."""

    question: Question
    room: int  # tokens that the answer may take
    length: int  # about so many tokens it has itself, the image included
    alone: bool  # one aspect, in plain words


@dataclass
class LocalTeacher:
    """The model, and how many tokens it may write about an aspect."""

    model: LocalMLLM
    max_new_tokens: int
    tries: ClassVar[int] = 2

    def key(self, question: Question) -> str:
        model = [self.model.identity, self.model.max_length, self.max_new_tokens]
        return fingerprint([model, question.sha256, _words(question, alone=False), ALONE])

    def requests(self, question: Question, state: ImageState) -> Iterator[Request]:
        """What to ask next, so that nothing of the question is missing in the end."""
        untried = question.about(aspect for aspect in state.missing if state[aspect].untried)
        together = self._together(untried) if len(untried.mos) > 1 else None
        if together:
            yield together
        for aspect in state.missing:
            if not together or aspect not in untried.mos:
                yield self.alone(question.about([aspect]))

    def alone(self, question: Question) -> Request:
        """The question about one aspect, in plain words."""
        return Request(question, self.max_new_tokens, self._length(question, alone=True), alone=True)

    def inputs(self, images: Sequence[Image], requests: Sequence[Request]) -> list[Inputs]:
        """What the model is given; the requests have the same room. Raises TooLongError where one does not fit."""
        asked = [_conversation(request.question, alone=request.alone) for request in requests]
        return self.model.questions(images, asked, requests[0].room)

    def answers(self, inputs: Sequence[Inputs], requests: Sequence[Request]) -> list[Answer]:
        """What it says to each."""
        written = self.model.answers(inputs, requests[0].room)
        return [self._answer(request, said) for request, said in zip(requests, written, strict=True)]

    def _together(self, question: Question) -> Request | None:
        """One request for all aspects, if it fits as it is, with room for as many of them as fit, too."""
        length = self._length(question, alone=False)
        left = self.model.max_length - length - self._second_question
        fit = min(left // self.max_new_tokens, len(question.mos))
        return Request(question, fit * self.max_new_tokens, length, alone=False) if fit > 0 else None

    def _length(self, question: Question, *, alone: bool) -> int:
        asked = _conversation(question, alone=alone)
        (length,) = self.model.fitter.lengths([image_size(question.path)], [asked])
        return length

    def _answer(self, request: Request, written: Written) -> Answer:
        aspects, text = request.question.mos, without_thoughts(written.text)
        said: Any = told(text, aspects)
        if not said and request.alone:
            alone = in_words(text, ended=written.ended)
            said = dict.fromkeys(aspects, alone) if alone or written.ended else {}
        finish_reason = "STOP" if written.ended else CUT
        blocked = f"answer: {CUT}" if not said and not written.ended else None
        return Answer(said or written.text, finish_reason, self.model.name, Usage(), blocked, last=request.alone)

    @cached_property
    def _second_question(self) -> int:
        """Tokens that the model keeps free besides, for what its students are asked next."""
        return self.model.fitter.chat.second_question


def told(text: str, aspects: Iterable[str]) -> dict[str, Any]:
    """What is said under the aspects' names in JSON, or nearly JSON; of an object that is cut, what is whole."""
    found = parse(text)
    by_name = {name.strip().casefold(): said for name, said in found.items()} if isinstance(found, Mapping) else {}
    return {aspect: said for aspect in aspects if (said := by_name.get(aspect, _string(text, aspect))) is not None}


def in_words(text: str, *, ended: bool) -> str | None:
    """What is said in plain words, or under a name of its own as the only string of an object; None of other JSON."""
    found = parse(text)
    strings = [said for said in found.values() if isinstance(said, str)] if isinstance(found, Mapping) else []
    if len(strings) == 1:
        return strings[0]
    text = FENCE.sub("", text).strip()
    if JSON.search(text):
        return None
    return text if ended else whole_sentences(text)


def whole_sentences(text: str) -> str:
    """The text up to its last sentence that ends."""
    ends = [found.end() for found in SENTENCE_END.finditer(text)]
    return text[: ends[-1]] if ends else ""


def _string(text: str, name: str) -> str | None:
    """The whole string under this name."""
    found = re.search(rf'"\s*{name}\s*"\s*:\s*("(?:[^"\\]|\\.)*")\s*(?:[,}}\]]|$)', text, re.IGNORECASE | re.DOTALL)
    try:
        return str(json.loads(found[1], strict=False)) if found else None
    except ValueError:
        return None


def _words(question: Question, *, alone: bool) -> str:
    return f"{brief(question, show_mos=False)}\n\n{ALONE if alone else as_json(question)}"


def _conversation(question: Question, *, alone: bool) -> Conversation:
    words = {"type": "text", "text": _words(question, alone=alone)}
    return [{"role": "user", "content": [{"type": "image"}, words]}]
