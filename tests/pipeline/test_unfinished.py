"""Unfinished work is found by the same work alone: the same inputs, the same deps in dvc.yaml, the same libraries."""

import time
from multiprocessing import get_context
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from m3agiqa import versions
from pipeline.unfinished import kept, unfinished

DAG = {
    "describe": {"deps": ["worker.py", "room", "data/raw/${dataset}", "models/heads"], "outs": ["data/descriptions"]},
    "train": {"deps": ["other.py"], "outs": ["models/heads"]},
}


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr("pipeline.unfinished.PROJECT", tmp_path)
    YAML().dump({"stages": DAG}, tmp_path / "dvc.yaml")
    (tmp_path / "room").mkdir()
    for name in ("worker.py", "other.py", "room/part.py"):
        (tmp_path / name).write_text("VERSION = 1")
    return tmp_path


def test_the_same_work_finds_its_folder_and_other_work_another():
    with unfinished("describe", {"model": "a"}) as first:
        (first.path / "journal").write_text("1")
    with unfinished("describe", {"model": "a"}) as again:
        assert (again.path / "journal").exists()
    assert unfinished("describe", {"model": "b"}).path != again.path


@pytest.mark.parametrize("name", ["worker.py", "room/part.py", "room/new.txt"])
def test_a_changed_dep_is_other_work(project, name):
    """Twice: the second edit must not find what the first one left."""
    paths = [unfinished("describe", {}).path]
    for version in (2, 3):
        (project / name).write_text(f"VERSION = {version}")
        paths.append(unfinished("describe", {}).path)
    assert len(set(paths)) == 3


def test_what_is_no_dep_of_the_stage_changes_nothing(project):
    before = unfinished("describe", {}).path
    (project / "other.py").write_text("VERSION = 2")
    (project / "room/__pycache__").mkdir()
    (project / "room/__pycache__/part.pyc").write_bytes(b"1")
    assert unfinished("describe", {}).path == before


def test_another_library_is_other_work(monkeypatch):
    before = unfinished("describe", {}).path
    monkeypatch.setattr(versions, "version", lambda _: "0")
    assert unfinished("describe", {}).path != before


def work_on(inputs, enough):
    """In a process of its own: take the folder, note that it is held, count up in it, and let it go when told to."""
    with kept("describe", inputs) as scratch:
        journal = scratch.path / "journal"
        done = journal.read_text() if journal.exists() else ""
        (scratch.path.parent / "held").touch()
        enough.wait(60)
        journal.write_text(done + "x")


def test_two_runs_at_the_same_work_are_one_after_the_other(project, capfd):
    """The second says whom it waits for, and finds what the first has done."""
    spawned = get_context("fork")
    enough, said = spawned.Event(), ""
    first = spawned.Process(target=work_on, args=({}, enough))
    first.start()
    while not (project / ".cache/describe/held").exists():
        time.sleep(0.01)
    second = spawned.Process(target=work_on, args=({}, enough))
    second.start()
    while "waiting" not in said and second.is_alive():
        time.sleep(0.01)
        said += capfd.readouterr().err
    enough.set()
    for process in (first, second):
        process.join(20)
        assert process.exitcode == 0
    with kept("describe", {}) as scratch:
        assert (scratch.path / "journal").read_text() == "xx"
    said += capfd.readouterr().err
    assert said.count(f"process {first.pid} in {Path.cwd()}, since") == 1
    assert f"is at the work in {scratch.path}; waiting" in said


def test_finishing_leaves_alone_what_another_run_is_at_again(project):
    """Its marker says that it was finished once; a kill in its second run does not make it so."""
    with kept("describe", "first") as first:
        pass
    with kept("describe", "first"), kept("describe", "second"):
        assert first.path.exists()
    forked = get_context("fork")
    again = forked.Process(target=work_on, args=("first", forked.Event()))
    again.start()
    while not (project / ".cache/describe/held").exists():
        time.sleep(0.01)
    with kept("describe", "third"):
        pass
    again.kill()
    again.join()
    with kept("describe", "fourth"):
        pass
    assert first.path.exists()


def test_finishing_drops_only_earlier_finished_work():
    with kept("describe", "finished") as finished:
        pass
    with pytest.raises(RuntimeError), kept("describe", "killed") as killed:
        raise RuntimeError
    with kept("describe", "last") as last:
        pass
    assert [scratch.path.exists() for scratch in (finished, killed, last)] == [False, True, True]
