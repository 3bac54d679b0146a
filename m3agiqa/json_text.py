"""JSON that others wrote: tables and tars, journals of other machines, services' answers, bundles."""

import json
import re
from collections import Counter
from itertools import accumulate
from typing import Any

from m3agiqa.errors import InputError

MAX_DEPTH = 100  # far below Python's limit of calls: near it, what the garbage collector runs fails as well

_STRING = re.compile(r'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)
_NO_BRACKET = re.compile(r"[^\[\]{}]+")


def parse_json(text: str | bytes, **how: Any) -> Any:
    """The value, as json.loads gives it; bytes are UTF-8.

    Raises:
        ValueError: no JSON, or nested deeper than MAX_DEPTH, which is not even tried.
    """
    text = text if isinstance(text, str) else text.decode("utf-8-sig")
    if is_deep(text):
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    return json.loads(text, **how)


def read_object(text: str | bytes, where: str) -> dict[str, Any]:
    """The object that stands at `where`, its names each there once.

    Raises:
        InputError: it is no object, not UTF-8, or nested deeper than MAX_DEPTH.
    """
    try:
        values = parse_json(text, object_pairs_hook=_each_once)
    except ValueError as error:  # not UTF-8 is one, too
        raise InputError(f"{where}: not JSON ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected an object in braces, with its values by their names")
    return values


def is_deep(text: str) -> bool:
    """Whether lists and objects in it stand in one another more than MAX_DEPTH deep."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    brackets = _NO_BRACKET.sub("", _STRING.sub("", text))
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0) > MAX_DEPTH


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    counts = Counter(name for name, _ in pairs)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f"{repeated[0]!r} is there twice")
    return dict(pairs)
