"""For the tests of the hosted teachers: a server of each kind, and a question to ask it."""

import pytest
from PIL import Image

from analyzers.gemini.teacher import ENDPOINT
from analyzers.gemini.teacher import KEY as KEY_NAME
from analyzers.teacher import Question
from m3agiqa.files import sha256
from tests import gemini_server, openai_server
from tests.openai_asked import KEY_VARIABLE, MOS


@pytest.fixture
def server(monkeypatch):
    with gemini_server.GeminiServer() as server:
        monkeypatch.setenv(KEY_NAME, gemini_server.KEY)
        monkeypatch.setenv(ENDPOINT, server.url)
        yield server


@pytest.fixture
def any_server(monkeypatch):
    with openai_server.OpenAIServer() as server:
        monkeypatch.setenv(KEY_VARIABLE, openai_server.KEY)
        yield server


@pytest.fixture
def question(tmp_path):
    path = tmp_path / "ball.png"
    Image.new("RGB", (32, 24), (200, 30, 30)).save(path)
    return Question("ball", path, sha256(path), "a red ball", MOS)
