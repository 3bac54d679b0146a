"""For the tests of downloads: the server, and no waiting between attempts."""

import pytest

from data.download import transfer
from tests.dataset_server import DatasetServer
from tests.pinned import LARGE, SMALL


@pytest.fixture
def server(monkeypatch):
    with DatasetServer(
        web={"/set.bin": LARGE}, hub={"owner/name": {"data.csv": SMALL, "images/a.bin": LARGE, "empty.txt": b""}}
    ) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE", 0)
