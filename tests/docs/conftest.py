import re
from pathlib import Path
from typing import NamedTuple

import pytest

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
        return [
            Block(*found) for found in re.findall(r"(.*?)^```(\w*)\n(.*?)^```$", self.text, re.DOTALL | re.MULTILINE)
        ]

    def section(self, title: str) -> "Page":
        """What stands under a heading of the second level."""
        return Page(
            self.path, re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", self.text, re.DOTALL | re.MULTILINE)[1]
        )


def page(name: str) -> Page:
    return Page(ROOT / name, (ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def contributing() -> Page:
    return page("CONTRIBUTING.md")


@pytest.fixture(scope="session")
def pages() -> list[Page]:
    """All that is about the project, and not about one part of it."""
    names = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
    return [page(name) for name in names]
