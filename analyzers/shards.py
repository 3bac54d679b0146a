"""Shards of the questions, for several machines: who asks about an image depends on its bytes alone.

So machines that know nothing of each other never ask the same, the same picture in two rows included, and it does not
matter what each has answered before.
"""

import re
from typing import NamedTuple, Self

from m3agiqa.errors import InputError


class Shard(NamedTuple):
    """One of `of` equal parts, counted from 1."""

    number: int
    of: int

    @classmethod
    def named(cls, text: str) -> Self:
        """Of "2/8". Raises InputError where it is no such name."""
        found = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise InputError(f"{text!r}, expected a shard's number and how many there are, such as 2/8")
        return cls(int(found[1]), int(found[2]))

    def has(self, sha256: str) -> bool:
        """Whether the image of this content is in it."""
        return int(sha256, 16) % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
