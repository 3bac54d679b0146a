"""Batches scored by a Ray cluster: the same scores as one process gives, whoever is killed.

Two raylets on this machine stand for two machines. The second one has started in another folder, as another would.
"""

import io
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest
import torch

from m3agiqa import bundle, scored_images
from m3agiqa.__main__ import main
from m3agiqa.errors import InputError
from m3agiqa.image_list import ListedImage
from m3agiqa.model_card import render
from tests.ctrl_c import taking_ctrl_c
from tests.uneven_images import found, journalled, uneven_images

ray = pytest.importorskip("ray", reason="ray is in requirements-ray.txt")
from ray.data import DataContext  # noqa: E402 (an optional extra)

from m3agiqa import cluster  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::ResourceWarning:ray")
ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")
PATIENCE = 300  # seconds, on a machine that has other work


def soon(what: Callable[[], object]) -> None:
    """Wait for it."""
    until = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < until, "not within its time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two more that are none, too."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "empty.png").touch()
    none = [ListedImage(name, folder / name, "a cone") for name in ("empty.png", "gone.png")]
    return [*uneven_images(folder), *none]


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    """The second machine of a cluster, of which this process is on the first. All have one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with another number, torch may sum in another order
    with cluster.joined("cpu", 2):
        DataContext.get_current().execution_no_progress_timeout_s = PATIENCE
        command = [RAY, "start", "--block", "--address", ray.get_runtime_context().gcs_address, "--num-cpus", "2"]
        folder = tmp_path_factory.mktemp("far")
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
            soon(lambda: len(ray.nodes()) == 2)
            yield process
            process.terminate()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def alone(far, images, parts, tmp_path_factory):
    """The scores of one process."""
    return found(images, parts, tmp_path_factory.mktemp("alone"))


def found_there(images, parts, folder, scorers=1):
    with cluster.joined("cpu", scorers) as where:
        return found(images, parts, folder, **where)


def noting(work, file):
    """A function, or a class that is called, which writes down who does it. Other processes do not find this file."""
    name, node, pid = work.__name__, ray.get_runtime_context, os.getpid

    def note():
        with file.open("a") as lines:
            lines.write(f"{name} {node().get_node_id()} {pid()}\n")

    def noted(row):
        note()
        return work(row)

    class Noted:
        def __init__(self, *given):
            note()
            self.work = work(*given)

        def __call__(self, row):
            return self.work(row)

    return Noted if isinstance(work, type) else noted


def test_workers_that_are_killed_change_nothing(images, parts, alone, far, tmp_path, monkeypatch, capfd):
    """The same to the last bit, kept for one process as its own are. Files are read here, and decoded by no scorer."""
    keep, killed, notes = scored_images._Work._keep, [], tmp_path / "notes"

    def kill(*given):
        keep(*given)
        if not killed:
            done = [line.split() for line in notes.read_text().splitlines()]
            scorer, *_ = (pid for what, _, pid in done if what == "_Scoring")
            killed.extend({scorer, *(pid for what, _, pid in done if what != "_Scoring")})
            for pid in killed:
                with suppress(ProcessLookupError):  # idle for long, and gone
                    os.kill(int(pid), signal.SIGKILL)

    with monkeypatch.context() as context:
        for work in (cluster.read, cluster.decoded, cluster._Scoring):
            context.setattr(cluster, work.__name__, noting(work, notes))
        context.setattr(scored_images._Work, "_keep", kill)
        assert found_there(images, parts, tmp_path, scorers=2) == alone
    assert capfd.readouterr().out == ""  # Ray has something to say of it
    done = [line.split() for line in notes.read_text().splitlines()]
    nodes, pids = (
        {work: {line[place] for line in done if line[0] == work} for work in ("read", "decoded", "_Scoring")}
        for place in (1, 2)
    )
    assert nodes["read"] == {ray.get_runtime_context().get_node_id()}
    assert len(nodes["decoded"]) == len(nodes["_Scoring"]) == 2
    assert not pids["decoded"] & pids["_Scoring"]
    assert len(pids["_Scoring"]) == 3
    kept = journalled(tmp_path)
    monkeypatch.setattr("ray.data.from_items", None)  # nothing is asked
    assert found_there(images, parts, tmp_path) == found(images, parts, tmp_path) == alone
    assert journalled(tmp_path) == kept


def test_one_more_image_costs_one(images, parts, alone, far, tmp_path):
    assert found(images[1:], parts, tmp_path) != alone
    kept = journalled(tmp_path)
    more = found_there(images, parts, tmp_path)
    assert journalled(tmp_path) - kept == len(parts)
    assert [score.status for row in more for score in row] == [score.status for row in alone for score in row]
    assert more[0][0].score == pytest.approx(alone[0][0].score, abs=1e-5)


@pytest.fixture(scope="module")
def asked(images, parts, tmp_path_factory):
    """What predict is asked, but for who scores: images in a tar, too many for all to be scored before a kill."""
    folder = tmp_path_factory.mktemp("asked")
    bundle.pack(parts, folder / "bundle", render(bundle.cards(parts)))
    with tarfile.open(folder / "shard.tar", "w") as shard:
        for copy, image in product(range(2), images[:6]):
            prompt = f"{image.prompt} {copy}".encode()
            shard.add(image.path, f"{copy}-{image.name}")
            text = tarfile.TarInfo(f"{copy}-{image.path.stem}.txt")
            text.size = len(prompt)
            shard.addfile(text, io.BytesIO(prompt))
    source = ["--tar", str(folder / "shard.tar"), "--bundle", str(folder / "bundle")]
    return [*source, "--aspect", "quality", "--device", "cpu", "--batch", "1", "--parquet"]


@pytest.fixture
def start(asked, tmp_path):
    """Start the command, in a group of its own as a terminal does. It prints into files: Ray would hold on to pipes."""

    def start(**environment):
        with (tmp_path / "stdout").open("w") as out, (tmp_path / "stderr").open("w") as err:
            return subprocess.Popen(
                [sys.executable, "-m", "m3agiqa", "predict", *asked, "--engine", "ray", "--out", tmp_path / "out"],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=taking_ctrl_c,  # noqa: PLW1509 (no thread of ours runs)
            )

    return start


def said_beside_bars(lines):
    return [line for line in map(str.strip, lines) if line and not line.endswith("]")]


def somebody_works(session: int) -> bool:
    """Whether there are processes of a session but for two small ones of Ray, which notice within a minute."""
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    for pid, what in (line.split(None, 1) for line in listed.splitlines()):
        with suppress(ProcessLookupError):
            if os.getsid(int(pid)) == session and not re.match(r"ray::\w+Agent|.*<defunct>", what):
                return True
    return False


def test_a_killed_driver_takes_its_cluster_along_and_the_next_one_goes_on(asked, start, far, tmp_path, monkeypatch):
    out, err = tmp_path / "out", tmp_path / "stderr"
    with start() as process:
        soon(lambda: journalled(out) or process.poll() is not None)
        process.kill()
    assert (process.returncode, said_beside_bars(err.read_text().splitlines())) == (-signal.SIGKILL, [])
    soon(lambda: not somebody_works(process.pid))
    kept = journalled(out)
    files = {}
    for folder, engine in ((out, ["--engine", "ray", "--processes", "1"]), (tmp_path / "alone", [])):
        monkeypatch.setattr(sys, "argv", ["m3agiqa", "predict", *asked, *engine, "--out", str(folder)])
        main()
        files[folder] = [(folder / f"scores.{kind}").read_bytes() for kind in ("csv", "jsonl", "parquet")]
    assert files[out] == files[tmp_path / "alone"]
    assert 0 < kept < journalled(out) == journalled(tmp_path / "alone")


def test_ctrl_c_is_one_line_and_the_cluster_stays(start, far, tmp_path):
    out, err = tmp_path / "stdout", tmp_path / "stderr"
    with start(**{cluster.ADDRESS: ray.get_runtime_context().gcs_address}) as process:
        soon(lambda: re.search(r": 0/\d+ batches", err.read_text()) or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)
    *bars, last = err.read_text().splitlines()
    assert (process.returncode, last) == (130, "predict: interrupted; run it again to go on from here")
    assert said_beside_bars(bars) == []
    assert out.read_text() == ""
    assert far.poll() is None


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("place", ["planning", "scoring"])
def test_ctrl_c_that_ray_swallows_ends_it_all_the_same(images, parts, far, tmp_path, monkeypatch, place):
    def swallowed(*_, **__):
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        yield None  # no row

    if place == "planning":
        work = ray.data.from_items
        monkeypatch.setattr("ray.data.from_items", lambda *given, **how: [*swallowed()] and work(*given, **how))
    else:
        monkeypatch.setattr("ray.data.Dataset.iter_rows", swallowed)
    with pytest.raises(KeyboardInterrupt):
        found_there(images[:1], parts, tmp_path)
    assert not journalled(tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_machine_without_the_code_ends_it(images, parts, far, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "decoded", soon)  # a function of this file, which no other process finds
    message = r"^a machine of the Ray cluster has no \S*test_cluster: pip install 'm3agiqa\[ray\]' there, too$"
    with pytest.raises(InputError, match=message):
        found_there(images[:1], parts, tmp_path)
