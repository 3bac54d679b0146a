"""JSON objects that people wrote: a line of a table, the values of a sample in a tar, a service's answer."""

import json
import re
from itertools import accumulate
from typing import Any

from m3agiqa.csv_rows import repeated_column
from m3agiqa.errors import InputError

MAX_DEPTH = 100  # far below Python's limit of calls: near it, what the garbage collector runs fails as well

_STRING = re.compile(r'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")


def read_object(text: str | bytes, where: str) -> dict[str, Any]:
    """The object that `text` is, its names each there once.

    Raises:
        InputError: `where` is none, is not UTF-8, or is nested deeper than MAX_DEPTH.
    """
    try:
        text = text if isinstance(text, str) else text.decode("utf-8-sig")
        values = _parsed(text)
    except ValueError as error:  # not UTF-8 is one, too
        raise InputError(f"{where}: not JSON ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected an object in braces, with its values by their names")
    return values


def _parsed(text: str) -> Any:
    if is_deep(text):
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    return json.loads(text, object_pairs_hook=_each_once)


def is_deep(text: str) -> bool:
    """Whether lists and objects in it stand in one another more than MAX_DEPTH deep."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text))
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0) > MAX_DEPTH


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if repeated := repeated_column([name for name, _ in pairs]):
        raise ValueError(f"{repeated!r} is there twice")
    return dict(pairs)
