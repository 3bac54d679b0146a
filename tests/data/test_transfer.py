"""Downloads from a server that cuts, corrupts and stalls: nothing is fetched twice, nothing wrong is kept."""

import contextlib
import hashlib
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.download.archives import no_bar
from data.download.sources import fetch
from data.download.transfer import Remote, download
from m3agiqa.errors import InputError
from tests.dataset_server import COMMIT, Fault
from tests.pinned import LARGE, pinned, starts

pytestmark = pytest.mark.usefixtures("no_waiting")
ROOT = Path(__file__).parents[2]


def test_a_cut_connection_goes_on_where_it_was_cut(server, tmp_path):
    server.script = lambda request: Fault(send=100_000) if request.number < 2 else None
    (path,) = fetch([pinned(server)], tmp_path)
    assert path.read_bytes() == LARGE
    assert starts(server.of("set.bin")) == [None, 100_000, 200_000]


def test_the_next_run_goes_on_where_the_last_one_gave_up(server, tmp_path):
    server.script = lambda request: Fault(send=70_000) if request.number == 0 else Fault(send=0)
    with pytest.raises(InputError, match=r"set\.bin: .*; 70,000 bytes are here, run it again to go on"):
        fetch([pinned(server)], tmp_path)
    server.script, before = lambda _: None, len(server.requests)
    (path,) = fetch([pinned(server)], tmp_path)
    assert path.read_bytes() == LARGE
    assert starts(server.requests[before:]) == [70_000]


@pytest.mark.parametrize("layout", ["web", "hub"])
def test_a_killed_run_is_gone_on_with(server, tmp_path, layout):
    source, file = (pinned(server), "set.bin") if layout == "web" else (f"hf://owner/name@{COMMIT}", "a.bin")
    server.script = lambda request: Fault(send=150_000, stall=60) if request.path.endswith(file) else None
    command = (
        "import sys; from pathlib import Path; from data.download.sources import fetch; "
        "fetch(sys.argv[1:2], Path(sys.argv[2]))"
    )
    with subprocess.Popen([sys.executable, "-c", command, source, str(tmp_path)], cwd=ROOT) as run:
        until = time.monotonic() + 60
        while time.monotonic() < until and not any(_size(path) for path in tmp_path.rglob(f".{file}.partial")):
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
    (partial,) = tmp_path.rglob(f".{file}.partial")
    assert 0 < (kept := _size(partial)) <= 150_000

    server.script, before = lambda _: None, len(server.requests)
    (root,) = fetch([source], tmp_path)
    assert (root if layout == "web" else root / "images/a.bin").read_bytes() == LARGE
    asked = [request for request in server.requests[before:] if request.path.endswith(file)]
    assert starts(asked) == [kept]


def _size(path):
    return path.stat().st_size


def test_corrupt_bytes_are_thrown_away_and_fetched_anew_once(server, tmp_path):
    server.script = lambda request: Fault(corrupt=request.number == 0)
    (path,) = fetch([pinned(server)], tmp_path)
    assert path.read_bytes() == LARGE
    assert starts(server.requests) == [None, None]


@pytest.mark.parametrize("fault", [Fault(no_ranges=True), Fault(early=1000), Fault(early=100_000)])
def test_a_server_that_sends_more_than_was_asked_for_adds_nothing_twice(server, tmp_path, fault):
    server.script = lambda request: Fault(send=100_000) if request.number == 0 else fault
    bars = Bars()
    (path,) = fetch([pinned(server)], tmp_path, bar=bars)
    assert path.read_bytes() == LARGE
    assert starts(server.requests) == [None, 100_000]
    assert bars.shown[0].at == len(LARGE)


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 80_000), max_size=6))
def test_whatever_is_cut_each_byte_is_sent_once(server, tmp_path_factory, cuts):
    server.requests.clear()
    server.script = lambda request: Fault(send=cuts[request.number]) if request.number < len(cuts) else None
    (path,) = fetch([pinned(server)], tmp_path_factory.mktemp("cuts"))
    assert path.read_bytes() == LARGE
    assert [start or 0 for start in starts(server.requests)] == [sum(cuts[:n]) for n in range(len(server.requests))]


def test_a_busy_server_is_asked_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.utils._http.time", SimpleNamespace(sleep=lambda _: None))
    server.script = lambda request: Fault(status=(503, 429, 500)[request.number]) if request.number < 3 else None
    (path,) = fetch([pinned(server)], tmp_path)
    assert path.read_bytes() == LARGE


def test_a_file_that_was_whole_but_not_yet_named_is_not_fetched_again(server, tmp_path):
    (path,) = fetch([pinned(server)], tmp_path)
    path.rename(path.with_name(".set.bin.partial"))
    assert fetch([pinned(server)], tmp_path) == [path]
    assert starts(server.requests) == [None, 300_000]


def test_a_partial_file_that_is_too_long_or_wrong_starts_over(server, tmp_path):
    for wrong in (LARGE + b"more", b"x" * 1000):
        remote = Remote(
            f"{server.url}/set.bin", tmp_path / "set.bin", size=len(LARGE), sha256=hashlib.sha256(LARGE).hexdigest()
        )
        remote.path.unlink(missing_ok=True)
        remote.partial.write_bytes(wrong)
        download([remote], "set", no_bar)
        assert remote.path.read_bytes() == LARGE


def test_the_bar_is_told_of_every_byte_once(server, tmp_path):
    server.script = lambda request: (
        Fault(send=100_000) if request.path.endswith("a.bin") and request.number < 2 else None
    )
    bars = Bars()
    for _ in range(2):
        fetch([f"hf://owner/name@{COMMIT}"], tmp_path, bar=bars)
    assert bars.asked == [("download owner/name", 300_024)] * 2
    assert [bar.at for bar in bars.shown] == [300_024] * 2


class Bars:
    """Progress bars that remember how far they came."""

    def __init__(self):
        self.asked, self.shown = [], []

    def __call__(self, desc, total):
        self.asked.append((desc, total))
        self.shown.append(Bar())
        return self.shown[-1]


class Bar(contextlib.nullcontext):
    at = 0

    def __enter__(self):
        return self

    def get_lock(self):
        return threading.RLock()

    def update(self, size):
        self.at += size
