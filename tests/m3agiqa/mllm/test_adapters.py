"""Adapters from the hub: a local server answers as the hub does."""

import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from huggingface_hub import constants

from m3agiqa.errors import InputError
from m3agiqa.mllm import adapters

NAME, COMMIT = "someone/an-adapter", "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "adapter_config.json": b"{}",
    "adapter_model.safetensors": b"weights",
    "training_args.bin": b"a pickle, which nobody asked for",
}


class Hub(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self.wfile.write(self._answer())

    def _answer(self):
        self.server.asked.append(self.path)
        body, status = b"", 404
        if self.path.startswith(f"/{NAME}/resolve/{COMMIT}/"):
            body, status = FILES[self.path.rsplit("/", 1)[1]], 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body, usedforsecurity=False).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        return body

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield server
    server.shutdown()
    server.server_close()


def test_an_adapter_is_fetched_once_and_only_its_two_files(hub):
    folder = adapters.fetch(NAME, COMMIT)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: FILES[name] for name in (adapters.SETTINGS, adapters.WEIGHTS)
    }
    assert len(adapters.hashes(folder)) == 2
    asked = len(hub.asked)
    assert adapters.fetch(NAME, COMMIT) == folder
    assert len(hub.asked) == asked  # a commit does not change: nothing to ask the second time


@pytest.mark.parametrize(
    ("name", "revision", "complaint"),
    [
        (NAME, None, "needs a revision"),
        (NAME, "f" * 40, "cannot be had"),
        ("not/a/name", COMMIT, "cannot be had"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(hub, name, revision, complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        adapters.fetch(name, revision)
    assert "\n" not in str(caught.value)


def test_a_folder_is_taken_as_it_is(tmp_path):
    assert adapters.fetch(str(tmp_path), None) == tmp_path
    with pytest.raises(InputError, match=r"adapter_config\.json and adapter_model\.safetensors missing"):
        adapters.hashes(tmp_path)
