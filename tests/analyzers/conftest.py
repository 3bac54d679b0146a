"""For the tests of the teacher `openai`: a server, and a question to ask it."""

import pytest
from PIL import Image

from analyzers.teacher import Question
from m3agiqa.files import sha256
from tests.openai_asked import KEY_VARIABLE, MOS
from tests.openai_server import KEY, OpenAIServer


@pytest.fixture
def any_server(monkeypatch):
    with OpenAIServer() as server:
        monkeypatch.setenv(KEY_VARIABLE, KEY)
        yield server


@pytest.fixture
def question(tmp_path):
    path = tmp_path / "ball.png"
    Image.new("RGB", (32, 24), (200, 30, 30)).save(path)
    return Question("ball", path, sha256(path), "a red ball", MOS)
