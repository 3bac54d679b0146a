"""SIGKILL at a random moment of each stage: the next `dvc repro` ends where an undisturbed run would have."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import STAGES


@pytest.fixture(scope="module")
def project(reproduced, tmp_path_factory):
    return reproduced.copy(tmp_path_factory.mktemp("killed") / "project")


def _start(project, stage) -> subprocess.Popen:
    """The stage in a process group of its own, DVC first: as `dvc repro` starts it."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.Popen(
        ["dvc", "repro", "--force", "--single-item", stage],
        cwd=project.path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_stage_leaves_nothing_wrong_behind(reproduced, project, stage):
    delay = random.Random(stage).uniform(1.5, 6)
    shutil.rmtree(project.path / ".cache", ignore_errors=True)  # or finished work is found again, and nothing is killed
    running = _start(project, stage)
    time.sleep(delay)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    project.run("git", "checkout", "--quiet", "dvc.lock")
    project.dvc("repro")
    assert project.lock() == reproduced.lock()
    assert project.metrics() == reproduced.metrics()
