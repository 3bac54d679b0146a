"""What an explanation must be before a student learns from it, whoever wrote it.

Every aspect that was asked for has one: text, long enough to say something and short enough for a student to
learn, and without the score, because rating is the second round's question.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from analyzers.repeats import repeats
from m3agiqa.json_text import is_deep

FEWEST_LETTERS, MOST_WORDS = 15, 150
REPEATS = "repeats the score"  # the one complaint about a text that could be learned from all the same

_JSON = json.JSONDecoder(strict=False)  # models write line breaks into strings
_OBJECT = re.compile(r"\{\s*\"")


def parse(text: str) -> Any:
    """The JSON object that stands in what a service wrote, else the text itself.

    A fence, a list around it, a word before or after it and a bracket too many do no harm. The object is whole: nothing
    is taken out of one that is cut off or damaged.
    """
    start = _OBJECT.search(text)
    if not start or is_deep(text[start.start() :]):
        return text
    try:
        return _JSON.raw_decode(text, start.start())[0]
    except ValueError:
        return text


def without_thoughts(text: str) -> str:
    """What a model says after it has thought, where nobody takes its thoughts out of the text before.

    The chat's template may have begun them already, and the limit of tokens may have ended them.
    """
    _, ended, said = text.partition("</think>")
    return said if ended else text.partition("<think>")[0]


class Checked(NamedTuple):
    """What a teacher said, by aspect."""

    usable: dict[str, str]  # explanations, on one line each
    wrong: dict[str, str]  # what is wrong with the others


def check(said: Any, mos: Mapping[str, float]) -> Checked:
    """The usable explanations of the aspects in `mos`, and for each other aspect what is wrong."""
    usable, wrong = {}, {}
    for aspect, score in mos.items():
        if not isinstance(said, Mapping):
            wrong[aspect] = "no JSON object"
        elif aspect not in said:
            wrong[aspect] = "missing"
        elif complaint := _complaint(said[aspect], score):
            wrong[aspect] = complaint
        else:
            usable[aspect] = one_line(said[aspect])
    return Checked(usable, wrong)


def one_line(text: str) -> str:
    """The same words with single spaces between them."""
    return " ".join(text.split())


def _complaint(text: Any, score: float) -> str | None:
    if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
        return "not text"
    if not text.strip():
        return "empty"
    if sum(map(str.isalpha, text)) < FEWEST_LETTERS:
        return f"fewer than {FEWEST_LETTERS} letters"
    if len(text.split()) > MOST_WORDS:
        return f"more than {MOST_WORDS} words"
    return REPEATS if repeats(one_line(text), score) else None
