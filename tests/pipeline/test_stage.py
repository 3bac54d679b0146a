import errno
import gc
import os
import subprocess
import sys
from importlib import reload
from pathlib import Path
from types import SimpleNamespace

import pytest

import stages
from pipeline import processes, settings
from pipeline.stage import stage


def test_a_full_disk_is_told_in_one_line(monkeypatch, capsys):
    def main(_):
        raise OSError(errno.ENOSPC, "No space left on device", "data/raw/a.png")

    monkeypatch.setattr(settings, "load", lambda: None)
    monkeypatch.setattr(sys, "argv", ["stages/download.py"])
    with pytest.raises(SystemExit) as stopped:
        stage(main)
    assert stopped.value.code == 74
    said = capsys.readouterr().err
    assert said.startswith("download: ")
    assert "No space left on device: 'data/raw/a.png'; make room" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(("parallel", "launched"), [(True, 1), (lambda _: True, 1), (lambda _: False, 0), (False, 0)])
def test_the_settings_may_tell_whether_a_stage_runs_in_several_processes(monkeypatch, parallel, launched):
    chosen = SimpleNamespace(runtime=SimpleNamespace(launcher=SimpleNamespace(processes=2)))
    launches, runs = [], []
    monkeypatch.setattr(settings, "load", lambda: chosen)
    monkeypatch.setattr(sys, "argv", ["stages/caption.py"])
    monkeypatch.setattr(processes, "launch", lambda *asked: launches.append(asked))
    stage(runs.append, parallel=parallel)
    assert launches == [("stages.caption", 2)] * launched
    assert runs == [chosen] * (1 - launched)


@pytest.mark.parametrize(
    ("name", "change"),
    [("download", "dataset: nowhere"), ("train", "aspect: beauty"), ("evaluate", "head: none")],
)
def test_a_stage_says_what_is_wrong_in_one_line(tmp_path, programs, name, change):
    """A real process: status 2, one line on stderr, no traceback."""
    root = Path(__file__).parents[2]
    key = change.split(":")[0]
    lines = (root / "params.yaml").read_text().splitlines()
    changed = [change if line.startswith(f"{key}:") else line for line in lines]
    (tmp_path / "params.yaml").write_text("\n".join(changed))
    ran = subprocess.run(
        [programs / "python", "-m", f"stages.{name}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith(f"{name}: params.yaml: ")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(("program", "collects"), [("-m", False), ("pytest", True)])
def test_garbage_is_collected_once_a_stage_has_been_imported_and_always_elsewhere(monkeypatch, program, collects):
    monkeypatch.setattr(settings, "load", SimpleNamespace)
    monkeypatch.setattr(sys, "argv", [program])
    found = []
    try:
        reload(stages)
        assert gc.isenabled() == collects
        stage(lambda _: found.append(gc.isenabled()))
        assert found == [True]
    finally:
        gc.enable()
