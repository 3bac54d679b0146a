"""Where in a sequence of tokens something stands."""

from typing import NamedTuple


class Span(NamedTuple):
    """The tokens from `start` up to `end`, which is left out."""

    start: int
    end: int
