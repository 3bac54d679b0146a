"""For the tests of the caption stage in this process: a paid teacher's service, and a project before it."""

import pytest

from tests.caption_project import write_params, write_samples, write_splits
from tests.captioned import IMAGES, SPLIT
from tests.gemini_server import KEY, GeminiServer


@pytest.fixture
def server(monkeypatch):
    with GeminiServer() as server:
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
        monkeypatch.setenv("GEMINI_API_ENDPOINT", server.url)
        yield server


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in a new folder; `project(**changes)` writes its params again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    write_samples(IMAGES)
    write_splits(SPLIT)
    write_params()
    return write_params
