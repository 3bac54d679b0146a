import pytest

from tests.docs.pages import ROOT, Page, page


@pytest.fixture(scope="session")
def contributing() -> Page:
    return page("CONTRIBUTING.md")


@pytest.fixture(scope="session")
def pages() -> list[Page]:
    """All that is about the project, and not about one part of it."""
    names = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
    return [page(name) for name in names]
