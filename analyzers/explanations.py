"""What an explanation must be before a student learns from it, whoever wrote it.

Every aspect that was asked for has one: text, long enough to say something and short enough for a student to
learn, and without the score, because rating is the second round's question.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

FEWEST_LETTERS, MOST_WORDS = 15, 150

_NUMBER = r"(?:\d+(?:[.,]\d+)?|zero|one|two|three|four|five)"
_DECIMAL = re.compile(r"\d+[.,]\d+")
_RATING = re.compile(
    rf"\bmean opinion\b|\bMOS\b"
    rf"|\b{_NUMBER}\s*(?:/|out of)\s*(?:5|five|10|ten|100)\b"
    rf"|(?<!-)\b(?:score|scores|scored|scoring|rate|rates|rated|rating)\b[^.!?\n]{{0,24}}?\b{_NUMBER}\b"
    rf"|\b{_NUMBER}\s+(?:stars?|points?)\b",
    re.IGNORECASE,
)


def parse(text: str) -> Any:
    """What a service wrote: JSON if it is that, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


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
            usable[aspect] = " ".join(said[aspect].split())
    return Checked(usable, wrong)


def _complaint(text: Any, score: float) -> str | None:
    if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
        return "not text"
    if not text.strip():
        return "empty"
    if sum(map(str.isalpha, text)) < FEWEST_LETTERS:
        return f"fewer than {FEWEST_LETTERS} letters"
    if len(text.split()) > MOST_WORDS:
        return f"more than {MOST_WORDS} words"
    if _RATING.search(text) or any(_is(score, number) for number in _DECIMAL.findall(text)):
        return "repeats the score"
    return None


def _is(score: float, number: str) -> bool:
    """Whether `number`, as written, is the score rounded to as many decimals."""
    decimals = len(re.split("[.,]", number)[1])
    return abs(float(number.replace(",", ".")) - score) <= 0.5 * 10.0**-decimals + 1e-9
