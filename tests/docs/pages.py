"""The pages of the documentation, as their text and as their pieces of code."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Block(NamedTuple):
    """A fenced piece of code, and the text between it and the piece before."""

    before: str
    language: str
    code: str


class Page(NamedTuple):
    """A page of the documentation."""

    path: Path
    text: str

    @property
    def blocks(self) -> list[Block]:
        before, language, code = (re.split(r"(?ms)^```(\w*)\n(.*?)^```$", self.text)[place::3] for place in range(3))
        return [Block(*found) for found in zip(before, language, code, strict=False)]  # what follows the last is none's

    def section(self, title: str) -> "Page":
        """What stands under a heading of the second level."""
        return Page(self.path, re.search(rf"(?ms)^## {re.escape(title)}\n(.*?)(?=^## |\Z)", self.text)[1])


def page(name: str) -> Page:
    return Page(ROOT / name, (ROOT / name).read_text(encoding="utf-8"))
