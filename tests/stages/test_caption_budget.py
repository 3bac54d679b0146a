"""What the caption stage may spend, what it loses, and what it forecasts. Prices are made up."""

import re
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from analyzers import patience
from tests.caption_project import forked, start
from tests.captioned import captions, ends, run, totals
from tests.gemini_server import GeminiServer, answer, error

pytestmark = pytest.mark.usefixtures("server")

PRICES = {"teachers.gemini.prices.input": 100.0, "teachers.gemini.prices.output": 1000.0}
MOST_OUTPUT = 400
INPUT = 459  # tokens of the prompts here, 258 of them the image's


def priced(**changes):
    return PRICES | {"teachers.gemini.max_output_tokens": MOST_OUTPUT} | changes


def dearest(request):
    """As many tokens of output as are allowed."""
    return answer(request, thinking=MOST_OUTPUT - sum(map(len, said(request))) // 4)


def said(request):
    return [answer(request).body["candidates"][0]["content"]["parts"][0]["text"]]


class Counting:
    """Counts how many are asked at once."""

    def __init__(self, move, delay=0.05):
        self.move, self.delay = move, delay
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, request):
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.delay)
        with self._lock:
            self.now -= 1
        return self.move(request)


@pytest.mark.parametrize("move", [dearest, answer], ids=["dearest", "cheap"])
def test_no_request_starts_that_could_pass_what_may_be_spent(project, server, capsys, move):
    project(**priced(**{"runtime.teacher.max_usd": 1.0, "runtime.teacher.concurrency": 12}))
    server.script = counting = Counting(move)
    status, last = ends(capsys)
    assert status == 77
    assert re.search(
        r"runtime\.teacher\.max_usd is 1, \$0\.\d\d are spent at most, and one more request may cost", last
    )
    assert counting.most <= 2  # 0.45 each at most
    assert len(server.requests) == 2 if move is dearest else 2 < len(server.requests) < 12

    project(**priced())
    server.script = answer
    run()
    assert len(server.requests) == 12
    assert len(captions()) == 12


def test_what_was_spent_before_counts(project, server, capsys):
    project(**priced())
    run()
    project(**priced(**{"runtime.teacher.max_usd": totals()["usd"]}))
    run()  # nothing is left to ask
    assert ends(capsys, refresh=datetime.now(UTC))[0] == 77
    assert len(server.requests) == 12
    project(**priced(**{"runtime.teacher.max_usd": totals()["usd"], "teachers.gemini.temperature": 0.5}))
    assert ends(capsys)[0] == 77  # other answers, of which there are none yet
    assert 12 < len(server.requests) < 24


@pytest.mark.parametrize(
    ("move", "lost"),
    [
        (lambda request: answer(request, sent=0), 1),
        (lambda request: answer(request, sent=0.5), 1),
        (lambda request: answer(request, cut='"finishReason"'), 1),
        (lambda _: error(503), 0),
        (lambda _: error(500), 0),
    ],
    ids=["dropped", "half", "cut", "503", "500"],
)
def test_a_request_that_may_have_been_billed_is_counted(project, server, monkeypatch, move, lost):
    monkeypatch.setattr(patience, "BACKOFF", lambda _: 0)
    project(**priced())
    server.script = lambda request: move(request) if request.number == 3 else answer(request)
    run()
    assert (totals()["described"], totals()["requests"], totals()["lost_requests"]) == (12, 13, lost)
    assert totals()["usd_lost_at_most"] == pytest.approx(lost * (INPUT * 100 + MOST_OUTPUT * 1000) / 1e6, abs=0.01)
    run()
    assert totals()["lost_requests"] == lost


def test_lost_requests_are_held_against_what_may_be_spent(project, server, capsys, monkeypatch):
    monkeypatch.setattr(patience, "BACKOFF", lambda _: 0)
    project(**priced(**{"runtime.teacher.max_usd": 2.0}))
    server.script = lambda request: answer(request, sent=0)
    assert ends(capsys)[0] == 77
    assert len(server.requests) == 4
    assert ends(capsys)[0] == 77
    assert len(server.requests) == 4


def test_where_nothing_was_sent_nothing_is_lost(project, server, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(patience, "PATIENCE", 0)
    monkeypatch.setattr(patience, "BACKOFF", lambda _: 0)
    project(**{"runtime.teacher.input_tokens_per_minute": None})
    with monkeypatch.context() as offline:
        offline.setenv("GEMINI_API_ENDPOINT", "http://127.0.0.1:9")
        assert ends(capsys)[0] == 69
    run()
    assert totals()["lost_requests"] == 0


def test_what_a_killed_run_had_under_way_is_lost(project, server, tmp_path):
    project(**priced(**{"runtime.teacher.timeout": 30}))
    server.script = lambda request: answer(request, delay=0 if request.number < 1 else 20)
    journal = tmp_path / ".cache/caption/gemini/answers.jsonl"
    running = forked(tmp_path, server)
    late = time.monotonic() + 20
    while (len(server.requests) < 5 or not journal.read_bytes()) and time.monotonic() < late:
        time.sleep(0.01)
    running.kill()
    running.join()
    server.script = answer
    run()
    assert (totals()["described"], totals()["lost_requests"], totals()["answers"]) == (12, 4, 12)
    assert totals()["requests"] == len(server.requests) == 16
    run()
    assert totals()["lost_requests"] == 4


def test_a_probe_is_paid_kept_and_tells(project, server, capsys):
    project(**priced())
    server.script = lambda request: answer(request, thinking=100 if request.number < 8 else 150)
    run(probe=8)
    estimated = capsys.readouterr().out
    assert len(server.requests) == 8
    assert len({request.image for request in server.requests}) == 8
    assert "12 images, 0 of them failed before; 4 new requests" in estimated
    assert "by the mean of 8 answers with these settings" in estimated
    assert not Path("data/captions").exists()
    usd = float(re.search(r"cost:   \$(\d+\.\d\d) \(", estimated)[1])
    run(probe=8)
    assert capsys.readouterr().out == estimated
    assert len(server.requests) == 8

    run()
    assert len(server.requests) == 12
    [line] = [line for line in capsys.readouterr().err.splitlines() if "estimated were" in line]
    spent, before, off = re.search(
        r"all answers cost \$([\d.]+); estimated were \$([\d.]+) from 8 answers, ([\d.]+)% too little", line
    ).groups()
    assert float(spent) == totals()["usd"]
    assert float(before) == pytest.approx(float(spent) - 4 * 50 * 1000 / 1e6, abs=0.005)
    assert float(off) == pytest.approx(100 * (1 - float(before) / float(spent)), abs=0.1)
    assert usd == pytest.approx(float(before) / 3, abs=0.01)
    run()
    assert "estimated were" not in capsys.readouterr().err


def test_only_answers_with_these_settings_tell(project, server, capsys):
    run()
    project(**{"teachers.gemini.model": "gemini-4-argon"})
    run(dry_run=True)
    assert "output: known from answers alone" in capsys.readouterr().out
    run(probe=8)
    server.script = lambda request: answer(request, thinking=1)
    assert "by the mean of 8 answers" in capsys.readouterr().out


def test_what_was_forecast_of_other_requests_is_not_compared(project, server, capsys):
    run(probe=8)
    project(**{"teachers.gemini.temperature": 0.5})
    run()
    assert "estimated were" not in capsys.readouterr().err


def test_a_probe_of_what_is_free_says_so(project, server, capsys):
    project(teacher="offline")
    run(probe=8)
    assert "offline is free" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--probe", "0"), "argument --probe: '0', expected a number of images, at least 1"),
        (("--probe", "few"), "argument --probe: 'few', expected a number of images, at least 1"),
        (("--probe", "8", "--dry-run"), "argument --dry-run: not allowed with argument --probe"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(project, tmp_path, options, says):
    with GeminiServer() as server:
        running = start(tmp_path, server, *options)
        text = running.communicate()[0].decode()
    assert running.returncode == 2
    assert text.splitlines()[-1].endswith(says)
    assert not server.requests
