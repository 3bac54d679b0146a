"""Several processes that score: the same scores as one gives; none waits, or stays, for another that is no more."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest
import torch

from m3agiqa import bundle, scored_images, workers
from m3agiqa.errors import InputError, WorkerError
from m3agiqa.model_card import render
from m3agiqa.workers import devices
from tests import forks
from tests.ctrl_c import taking_ctrl_c
from tests.uneven_images import IMAGES, Overlapping, found, journalled, uneven_images

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return uneven_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Here and in each worker: with another number, torch may sum in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def forked(monkeypatch):
    """Workers begin as forks of a process that has imported the library, which takes each of them seconds otherwise."""
    monkeypatch.setattr(workers, "SPAWN", forks.context())


@pytest.fixture(scope="module")
def alone(images, parts, tmp_path_factory):
    """The scores of one process."""
    return found(images, parts, tmp_path_factory.mktemp("alone"), processes=1)


def test_the_scores_are_those_of_one_process(images, parts, alone, tmp_path, monkeypatch):
    """To the last bit, where each has as many threads; and are kept for it, as its own are for them."""
    assert found(images, parts, tmp_path, processes=2) == alone
    kept = journalled(tmp_path)
    monkeypatch.setattr("m3agiqa.workers._Worker", None)  # who has nothing to do starts nobody
    for processes in (1, 2):
        assert found(images, parts, tmp_path, processes=processes) == alone
    assert journalled(tmp_path) == kept


@pytest.mark.usefixtures("forked")
def test_while_threads_make_inputs_as_for_a_gpu_the_scores_are_the_same(images, parts, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(scored_images, "Scorer", Overlapping)
    assert found(images, parts, tmp_path / "two", processes=2) == alone
    assert found(images, parts, tmp_path / "one", processes=1) == alone


@pytest.mark.usefixtures("forked")
def test_a_worker_that_is_killed_ends_the_run_and_the_next_one_goes_on(images, parts, alone, tmp_path, monkeypatch):
    keep = scored_images._Work._keep

    def kill(*given):
        keep(*given)
        for process in multiprocessing.active_children()[:1]:
            process.kill()

    with monkeypatch.context() as context:
        context.setattr(scored_images._Work, "_keep", kill)
        with pytest.raises(WorkerError, match=r"^process \d+ on cpu has ended by SIGKILL; where memory is short, .*$"):
            found(images, parts, tmp_path, processes=2)
    assert multiprocessing.active_children() == []
    kept = journalled(tmp_path)
    assert kept >= 2
    assert found(images, parts, tmp_path, processes=1) == alone
    assert journalled(tmp_path) - kept < len(parts) * IMAGES


@pytest.mark.usefixtures("forked")
def test_parts_that_do_not_belong_together_are_one_line_of_the_one_who_asks(images, parts, tmp_path, capfd):
    mixed = {"quality": replace(parts["quality"], adapter=parts["correspondence"].adapter)}
    with pytest.raises(InputError, match="not the adapter or the MLLM"):
        found(images[:1], mixed, tmp_path, processes=2)  # one batch, and so one worker
    assert "Traceback" not in capfd.readouterr().err
    assert multiprocessing.active_children() == []


@pytest.fixture(scope="module")
def packed(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "bundle"
    bundle.pack(parts, folder, render(bundle.cards(parts)))
    return folder


@pytest.fixture
def started(images, packed, tmp_path):
    """The command, in a group of its own as a terminal starts it; and what it says by the time when all have ended."""
    images = [str(image.path) for image in images[:-1] if image.name != "again"]
    command = [sys.executable, "-m", "m3agiqa", "predict", *images, "--bundle", packed, "--device", "cpu"]
    command += ["--batch", "1", "--processes", "2", "--out", tmp_path / "out"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=taking_ctrl_c,  # noqa: PLW1509 (no thread of ours runs)
    ) as process:
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_ctrl_c_waits_until_a_process_is_started_whichever_thread_takes_it(interruptible):
    begun, reached = Event(), []

    def take():
        begun.wait()
        signal.raise_signal(signal.SIGINT)

    def start():
        with workers._interrupts_held_back():
            begun.set()
            other.join()
            reached.append("the end")

    other = Thread(target=take)
    other.start()  # before the block, or it would hold the signal back, too
    with pytest.raises(KeyboardInterrupt):
        start()
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_one_line(started):
    """It comes to all of the group, here while the workers begin."""
    while not re.search(r": 0/\d+ batches", line := started.stderr.readline()):
        assert line, "ended before"
    os.killpg(started.pid, signal.SIGINT)
    _, said = started.communicate(timeout=60)
    *bar, last = said.splitlines()
    assert (started.returncode, last) == (130, "predict: interrupted; run it again to go on from here")
    assert [line for line in bar if line and "batches" not in line] == []  # no worker tells of it, too


def test_nobody_stays_when_the_one_who_asks_is_killed(started, tmp_path):
    while not journalled(tmp_path / "out"):
        assert started.poll() is None
        time.sleep(0.02)
    started.kill()
    started.communicate(timeout=60)  # until nobody is left who could say something
    assert started.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("device", "processes", "message"),
    [
        ("cpu", 0, "--processes is 0, expected 1 or more"),
        ("cuda", 1000, r"--processes is 1000, and GPUs here are \d+; each process needs one"),
        ("cuda:0", 2, "--processes is 2, and cuda:0 is one device; expected --device cuda or cpu"),
    ],
)
def test_bad_numbers_are_one_line(device, processes, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        devices(device, processes)


def test_on_a_cpu_all_share_it():
    assert devices("cpu", 3) == ["cpu"] * 3
