"""SIGKILL at a random moment of each stage: run again, it ends where an undisturbed run would have.

The long stages, killed as soon as some of their work is on the disk, go on from it.
"""

import json
import os
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.small_project import STAGES, ran

LATEST = {"distill": 3.0, "describe": 3.0, "features": 3.0}  # seconds; the others take no longer than 1.5
BEFORE = ".dvc/tmp/dvc.lock"  # as it was before a stage was started


@pytest.fixture(scope="module")
def project(reproduced, tmp_path_factory):
    return reproduced.copy(tmp_path_factory.mktemp("killed") / "project")


def _start(project, stage, log=subprocess.DEVNULL) -> subprocess.Popen:
    """The stage as for the first time, started by DVC, which takes the stage along when it is killed.

    All that DVC and the stage know of an earlier run goes, or the next run would only fetch its outs from there.
    """
    lock = YAML(typ="safe").load(project.path / "dvc.lock")
    del lock["stages"][stage]
    YAML().dump(lock, project.path / "dvc.lock")
    shutil.copy(project.path / "dvc.lock", project.path / BEFORE)
    shutil.rmtree(project.path / ".dvc/cache/runs", ignore_errors=True)
    shutil.rmtree(project.path / ".cache", ignore_errors=True)
    environment = os.environ | {"PATH": f"{project.programs}{os.pathsep}{os.environ['PATH']}"}
    command = [project.programs / "dvc", "repro", "--single-item", stage]
    return subprocess.Popen(command, cwd=project.path, env=environment, stdout=subprocess.PIPE, stderr=log)


def _kill(running: subprocess.Popen) -> None:
    """Returns when nobody is left who could say something."""
    running.kill()
    running.communicate()


def _mend(project) -> None:
    """What DVC was writing in that instant it leaves cut short.

    `make repro` removes such a lock first (tests/test_make.py). dvc.lock, which takes DVC a quarter of a second to
    write, is brought back as `git checkout dvc.lock` does (docs/scale.md).
    """
    lock = project.path / ".dvc/tmp/rwlock"
    try:
        json.loads(lock.read_text())
    except FileNotFoundError:
        pass
    except json.JSONDecodeError:
        lock.unlink()
    shutil.copy(project.path / BEFORE, project.path / "dvc.lock")


def _go_on(project, stage) -> str:
    """What the stage says when DVC runs it again, as it must; the others are as they were."""
    _mend(project)
    again = project.dvc("repro", "--single-item", stage)
    assert f"Running stage '{stage}'" in again.stdout
    return again.stdout + again.stderr


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage_leaves_nothing_wrong_behind(reproduced, project, stage):
    delay = random.Random(stage).uniform(0.3, LATEST.get(stage, 1.5))
    running = _start(project, stage)
    time.sleep(delay)
    _kill(running)
    _mend(project)
    project.dvc("repro", "--single-item", stage)
    assert project.lock() == reproduced.lock()


def _holds_work(path: Path) -> bool:
    """A journal is there, empty, before its first record; the marker of a whole checkpoint is always empty."""
    return path.name == "complete" or path.stat().st_size > 0


def _progress_total(said: str, stage: str) -> int:
    """How much a stage had to do, as it says itself: "distill: 0/5 step"."""
    return int(re.search(rf"\b{stage}: 0/(\d+)", said)[1])


@pytest.mark.parametrize(
    ("stage", "unfinished"),
    [("distill", "checkpoint-*/complete"), ("describe", "journal.jsonl"), ("features", "part-00000.parquet")],
)
def test_a_killed_stage_goes_on_from_what_it_had(reproduced, project, tmp_path, stage, unfinished):
    scratch = project.path / ".cache" / stage
    log = tmp_path / "log"
    with log.open("w") as file, _start(project, stage, file) as running:
        while not (found := [path for path in scratch.glob(f"*/{unfinished}") if _holds_work(path)]):
            assert running.poll() is None, f"the stage ended before it could be killed:\n{log.read_text()}"
            time.sleep(0.005)
        _kill(running)
    assert not list(scratch.glob("*/finished"))
    kept, written = found[0].read_bytes(), found[0].stat().st_mtime_ns

    said = _go_on(project, stage)
    assert project.lock() == reproduced.lock()
    if stage == "distill":
        assert _progress_total(said, stage) < _progress_total(log.read_text(), stage)
    elif stage == "describe":
        assert kept
        assert found[0].read_bytes().startswith(kept)
    else:
        assert found[0].stat().st_mtime_ns == written


def test_after_all_that_nothing_is_left_to_run(reproduced, project):
    """With the tests above; alone it says little."""
    assert not ran(project.dvc("repro"))
    assert project.metrics() == reproduced.metrics()
