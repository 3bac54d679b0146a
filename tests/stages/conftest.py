"""For the tests of stages in this process: a paid teacher's service, a project before it, params for a folder."""

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from analyzers import batching, patience
from analyzers.shards import Shard
from tests.caption_project import write_params, write_samples, write_splits
from tests.captioned import IMAGES, OF, SPLIT, run
from tests.gemini_batches import BatchServer
from tests.gemini_server import KEY, GeminiServer

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def folder_params(tmp_path, monkeypatch):
    """The checked-in params set to the folder "mine" in a new working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    params = YAML(typ="safe").load(PARAMS) | {"dataset": "folder"}
    params["datasets"]["folder"]["source"] = "mine"
    params["mllms"]["tiny"]["model"] = str(PARAMS.parent / "models/tiny")
    return params


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


@pytest.fixture
def machine(tmp_path, monkeypatch, server, project):
    """`machine(name)` makes a copy of the project with an empty cache, once, and works there from then on."""
    project(**{"caption.max_failed": 0.2})

    def machine(name) -> Path:
        folder = tmp_path / "machines" / str(name)
        if not folder.exists():
            shutil.copytree(tmp_path, folder, ignore=shutil.ignore_patterns("machines", ".cache"))
        monkeypatch.chdir(folder)
        monkeypatch.setenv("DVC_ROOT", str(folder))
        return folder

    return machine


@pytest.fixture
def shards(machine):
    """The machines, each of which has answered its shard."""
    folders = [machine(number) for number in range(1, OF + 1)]
    for number in range(1, OF + 1):
        machine(number)
        run(shard=Shard(number, OF))
    return folders


@pytest.fixture
def batch_server(monkeypatch):
    with BatchServer() as server:
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
        monkeypatch.setenv("GEMINI_API_ENDPOINT", server.url)
        yield server


@pytest.fixture
def batch_project(project, monkeypatch):
    """The same project, whose teacher is asked by batch, without waiting."""
    monkeypatch.setattr(batching, "POLL", 0.01)
    monkeypatch.setattr(batching, "APPEARS", 0)
    monkeypatch.setattr(patience, "BACKOFF", lambda _: 0)
    monkeypatch.setattr(patience, "PATIENCE", 0)
    by_batch = {"teachers.gemini.sdk": "google-genai", "teachers.gemini.batch": True, "caption.max_failed": 0.2}
    project(**by_batch)
    return lambda **changes: project(**by_batch | changes)
