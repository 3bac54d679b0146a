"""The caption stage when requests fail, quotas end and disks are full: what it keeps, says, and asks again."""

import errno
import os
import re
from collections import deque
from datetime import UTC, datetime

import pytest

from analyzers import limits, patience
from analyzers.gemini.teacher import Gemini
from analyzers.ledger import Ledger
from analyzers.teacher import Answer, Question, Usage
from m3agiqa.journal import Journal
from pipeline import paths
from tests.caption_project import ASPECTS
from tests.captioned import captions, ends, run, totals
from tests.gemini_server import KEY, TEXTS, answer, blocked_prompt, daily_quota, error, too_many

pytestmark = pytest.mark.usefixtures("server")


def test_a_refresh_that_fails_keeps_the_earlier_words(project, server):
    run()
    before = paths.captions("folder").read_bytes()
    server.script = blocked_prompt
    run(refresh=datetime.now(UTC))
    assert len(server.requests) == 24
    assert paths.captions("folder").read_bytes() == before
    run(retry_blocked=True)
    assert len(server.requests) == 24


def test_unusable_answers_are_asked_for_again_and_then_recorded(project, server):
    def script(request):
        number = int(request.text.split("ball ")[1].split('"')[0])
        bad = {"quality": "", "correspondence": TEXTS["correspondence"]}
        earlier = sum(f'"ball {number}"' in request.text for request in server.requests) - 1
        return answer(request, said=bad) if number == 5 or (number == 1 and earlier == 0) else answer(request)

    server.script = script
    project(**{"caption.max_failed": 0.2})
    run()
    asked = [request for request in server.requests if '"ball 5"' in request.text]
    assert [set(request.aspects) for request in asked] == [set(ASPECTS), {"quality"}, {"quality"}]
    assert "5" not in set(captions()["image_id"])
    assert totals()["failures"] == {"unusable: empty": 1}
    assert totals()["requests"] == 12 + 2 + 1

    server.script = answer
    run()
    assert len(server.requests) == 15
    run(retry_blocked=True)
    assert len(server.requests) == 16
    assert len(captions()) == 12
    assert totals()["failed"] == 0


def test_too_many_failures_fail_the_stage(project, server, capsys):
    server.script = lambda request: blocked_prompt(request) if '"ball 1"' in request.text else answer(request)
    status, said = ends(capsys)
    assert status == 2
    assert "1 of 12 images have no description" in said
    assert "1 × prompt: PROHIBITED_CONTENT" in said
    assert totals()["failures"] == {"prompt: PROHIBITED_CONTENT": 1}
    assert not paths.captions("folder").exists()
    assert len(server.requests) == 12


def test_a_service_that_is_down_ends_the_run_with_everything_kept(project, server, capsys, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE", 0)
    server.script = lambda request: answer(request) if request.number < 5 else too_many("0s")
    status, said = ends(capsys)
    assert status == 69
    assert f"no answer after {patience.MOST_ATTEMPTS} attempts, the last one: Gemini answers 429" in said
    assert KEY not in said
    server.script, asked = answer, len(server.requests)
    run()
    assert len(server.requests) == asked + 12 - 5


def test_a_daily_quota_ends_the_run_with_everything_kept(project, server, capsys):
    server.script = lambda request: answer(request) if request.number < 5 else daily_quota()
    status, said = ends(capsys)
    assert status == 75
    assert "run it again after" in said
    server.script = answer
    kept = len(server.requests)
    run()
    assert len(server.requests) == kept + 12 - 5


def test_the_days_requests_are_counted_over_runs(project, server, capsys, monkeypatch):
    monkeypatch.setattr(limits, "this_day", lambda _: 0.0)  # it does not end in between
    project(**{"runtime.teacher.requests_per_day": 7})
    assert ends(capsys)[0] == 75
    assert ends(capsys)[0] == 75
    assert len(server.requests) == 7


def test_a_full_disk_is_told_in_one_line_and_the_next_run_goes_on(project, server, capsys, monkeypatch):
    flush = os.fsync

    def full(descriptor):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("answers.jsonl"):
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        status, said = ends(capsys)
    assert status == 74
    assert re.fullmatch(r"\S+: .*No space left on device: '.*answers\.jsonl'; make room and run it again", said)
    run()
    assert len(captions()) == 12


def test_no_room_for_the_ledgers_index_is_a_full_disk(tmp_path):
    teacher = Gemini("gemini-3.8-flash", 1.0, 900, show_mos=True, sdk="google-generativeai", timeout=5)
    with Journal(tmp_path / "answers.jsonl") as journal:
        ledger = Ledger(journal, teacher)
        ledger._index._told.execute("PRAGMA max_page_count = 4")
        given = Answer(TEXTS, "STOP", "gemini-3.8-flash", Usage())

        def record(number):
            question = Question(str(number), tmp_path, "", f"ball {number}", dict.fromkeys(ASPECTS, 2.0))
            ledger.record(question, given, attempts=1, seconds=0.1, at=0.0)

        with pytest.raises(OSError, match="No space left") as error:
            deque(map(record, range(500)))
        assert error.value.errno == errno.ENOSPC


def test_errors_that_stay_stop_at_once(project, server, capsys):
    server.script = lambda _: error(403, "No access.")
    status, said = ends(capsys)
    assert status == 2
    assert "403: No access" in said
    assert len(server.requests) <= 4


def test_errors_that_pass_are_waited_for(project, server):
    def script(request):
        return (
            [too_many("0.1s"), error(503), answer(request, sent=0.4)][request.number]
            if request.number < 3
            else answer(request)
        )

    server.script = script
    run()
    assert len(captions()) == 12
    assert totals()["requests"] == len(server.requests) == 15
