"""Values from outside, validated: the base of every settings and card class."""

import pydantic


class Strict(pydantic.BaseModel):
    """A frozen model that knows all its keys and takes no NaN; a key that it does not know is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


def first_error(error: pydantic.ValidationError) -> str:
    """The first thing that is wrong, in one line: its key, what is expected, and what was given."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    given = "" if not key or isinstance(first["input"], dict) else f" (given: {first['input']!r})"
    return f"{key + ': ' if key else ''}{first['msg'].removeprefix('Value error, ')}{given}"
