import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from data.errors import InputError
from stages.run import Scratch


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "worker.py"
    path.write_text("VERSION = 1")
    module = types.ModuleType("worker")
    module.__file__ = str(path)
    return module


@pytest.fixture(autouse=True)
def dvc_root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def work(module, inputs, stage="describe"):
    return Scratch(stage, inputs, code=[module])


def test_the_same_work_finds_its_folder_and_other_work_another(module):
    with work(module, {"model": "a"}) as first:
        (first.path / "journal").write_text("1")
    with work(module, {"model": "a"}) as again:
        assert (again.path / "journal").exists()
    assert work(module, {"model": "b"}).path != again.path


def test_changed_code_is_other_work(module, tmp_path):
    before = work(module, {}).path
    (tmp_path / "worker.py").write_text("VERSION = 2")
    assert work(module, {}).path != before


def test_changed_code_in_a_package_is_other_work(tmp_path):
    package = types.ModuleType("package")
    package.__file__ = str(tmp_path / "package/__init__.py")
    (tmp_path / "package").mkdir()
    for name in ("__init__", "part"):
        (tmp_path / f"package/{name}.py").write_text("VERSION = 1")
    before = work(package, {}).path
    (tmp_path / "package/part.py").write_text("VERSION = 2")
    assert work(package, {}).path != before


def test_two_runs_at_the_same_work_are_refused(module):
    with work(module, {}), pytest.raises(InputError, match="another run is at this work"), work(module, {}):
        pass


def test_finishing_drops_only_earlier_finished_work(module):
    with work(module, "finished") as finished:
        pass
    with pytest.raises(RuntimeError), work(module, "killed") as killed:
        raise RuntimeError
    with work(module, "last") as last:
        pass
    assert [scratch.path.exists() for scratch in (finished, killed, last)] == [False, True, True]


@pytest.mark.parametrize(
    ("name", "change"),
    [("download", "dataset: nowhere"), ("train", "aspect: beauty"), ("evaluate", "head: none")],
)
def test_a_stage_says_what_is_wrong_in_one_line(tmp_path, name, change):
    """A real process: status 2, one line on stderr, no traceback."""
    root = Path(__file__).parents[2]
    key = change.split(":")[0]
    lines = (root / "params.yaml").read_text().splitlines()
    changed = [change if line.startswith(f"{key}:") else line for line in lines]
    (tmp_path / "params.yaml").write_text("\n".join(changed))
    ran = subprocess.run(
        [sys.executable, "-m", f"stages.{name}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith(f"{name}: params.yaml: ")
    assert ran.stderr.count("\n") == 1
