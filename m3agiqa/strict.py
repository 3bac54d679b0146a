"""Values from outside, validated: the base of every settings and card class."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pydantic


class Strict(pydantic.BaseModel):
    """A frozen model that knows all its keys and takes no NaN; a key that it does not know is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


def first_error(error: pydantic.ValidationError, given: Any) -> str:
    """The first thing that is wrong with the values `given`, in one line: its key, what is expected, and what it is."""
    first = error.errors()[0]
    key = ".".join(_keys(first["loc"], given))
    value = "" if not key or isinstance(first["input"], dict) else f" (given: {first['input']!r})"
    return f"{key + ': ' if key else ''}{first['msg'].removeprefix('Value error, ')}{value}"


def _keys(place: Sequence[str | int], given: Any) -> Iterator[str]:
    """The keys that lead to `place`, without the kinds (`kind`, `reader`) that pydantic puts behind what has one."""
    untold = False  # whether the kind of `given` is still to come
    for part in place:
        if untold and part in (given.get("kind"), given.get("reader")):
            untold = False
            continue
        yield str(part)
        given = given.get(part) if isinstance(given, Mapping) else None
        untold = isinstance(given, Mapping)
