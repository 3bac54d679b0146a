"""Jobs of the Batch API when runs are killed: they are found again, never sent twice, and taken once."""

import json
import time
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from analyzers import batching
from analyzers.ledger import Ledger
from analyzers.shards import Shard
from data.tables.frames import read_table
from pipeline import paths
from pipeline.stage import stage
from stages import caption
from tests.caption_project import forked
from tests.captioned import captions, ends, run, totals
from tests.gemini_batches import once
from tests.gemini_server import Move

pytest.importorskip("google.genai")


@pytest.fixture(autouse=True)
def server(batch_server):
    return batch_server


@pytest.fixture
def project(batch_project):
    return batch_project


def journal(root):
    return [json.loads(line) for line in (root / ".cache/caption/gemini/answers.jsonl").read_text().splitlines()]


def killed_at(monkeypatch, place, **options):
    """A run that ends like a kill: nothing of ours runs after it."""

    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(place, kill)
        with pytest.raises(Killed):
            run(**options)


def test_killed_before_it_is_sent(project, server, monkeypatch):
    killed_at(monkeypatch, "analyzers.gemini.google_genai_jobs.Connection.create")
    assert not server.jobs
    run()
    assert [len(job.lines) for job in server.jobs] == [12]
    assert totals()["lost_requests"] == 0


def test_killed_while_it_is_sent(project, server, monkeypatch):
    """It is at the service, whose name for it nobody here knows: it is found again by ours."""
    killed_at(monkeypatch, "analyzers.jobs.Jobs.sent")
    assert [len(job.lines) for job in server.jobs] == [12]
    run()
    assert len(server.jobs) == 1
    assert len(captions()) == 12


def test_killed_before_it_is_answered(project, server, monkeypatch):
    killed_at(monkeypatch, "analyzers.gemini.google_genai_jobs.Connection.look")
    run()
    assert len(server.jobs) == 1
    assert len(captions()) == 12


def test_killed_while_the_answers_are_taken(project, server, monkeypatch, tmp_path):
    recorded = Counter()

    class Killed(BaseException):
        pass

    record = Ledger.record

    def fifth(self, *arguments, **named):
        if recorded.total() == 5:
            raise Killed
        recorded["times"] += 1
        record(self, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "record", fifth)
        with pytest.raises(Killed):
            run()
    assert len(journal(tmp_path)) == 5
    run()
    assert len(server.jobs) == 1
    assert len(journal(tmp_path)) == 12
    assert Counter(record["image"] for record in journal(tmp_path)).most_common(1)[0][1] == 1
    assert totals()["answers"] == 12


def test_killed_for_real_again_and_again(project, server, tmp_path):
    server.patience = 40
    for kill in range(6):
        running = forked(tmp_path, server)
        running.join(0.15 + 0.15 * kill)
        running.kill()
        running.join()
    server.patience = 2
    run()
    assert once(server)
    assert len(captions()) == 12
    assert totals()["answers"] == 12


def test_a_lost_answer_to_sending_it_sends_it_no_second_time(project, server):
    server.creates = lambda job: Move(200, "", sent=0) if job.number == 0 else None
    run()
    assert len(server.jobs) == 1
    assert len(captions()) == 12


def test_ctrl_c_leaves_the_job_and_the_next_run_finds_it(project, server, capsys, monkeypatch):
    def press(_):
        raise KeyboardInterrupt

    server.patience = 3
    with monkeypatch.context() as patched:
        patched.setattr(batching, "time", SimpleNamespace(sleep=press, time=time.time))
        with pytest.raises(SystemExit) as stopped:
            stage(caption.main)
    assert stopped.value.code == 130
    assert "caption: at the service until the next run takes the answers: batches/0\n" in capsys.readouterr().err
    run(dry_run=True)
    assert "12 new requests, 12 of them at the service already, in jobs" in capsys.readouterr().out
    status, said = ends(capsys, probe=8)
    assert status == 2
    assert "12 questions are at the service, in jobs: run it without --probe" in said
    run()
    assert len(server.jobs) == 1
    assert len(captions()) == 12


def test_jobs_that_are_under_way_are_taken_without_batch_too(project, server, monkeypatch):
    killed_at(monkeypatch, "analyzers.gemini.google_genai_jobs.Connection.look")
    project(**{"teachers.gemini.batch": False})
    run()
    assert once(server)
    assert totals()["answers"] == 12


def test_the_default_sdk_says_what_to_do_about_them(project, server, monkeypatch, capsys):
    killed_at(monkeypatch, "analyzers.gemini.google_genai_jobs.Connection.look")
    project(**{"teachers.gemini.batch": False, "teachers.gemini.sdk": "google-generativeai"})
    status, said = ends(capsys)
    assert status == 2
    assert "google-generativeai knows no batches: pip install -r requirements-genai.txt and -S teachers" in said
    assert once(server)


def test_other_settings_leave_them_alone(project, server, monkeypatch):
    killed_at(monkeypatch, "analyzers.gemini.google_genai_jobs.Connection.look")
    project(**{"teachers.gemini.temperature": 0.5})
    run()
    assert [job.looks > 0 for job in server.jobs] == [False, True]
    project()
    run()
    assert len(server.jobs) == 2
    assert len(captions()) == 12


@pytest.mark.parametrize("by_batch", [True, False])
def test_where_nothing_is_missing_they_are_taken_all_the_same(project, server, monkeypatch, tmp_path, by_batch):
    run()
    killed_at(monkeypatch, "analyzers.gemini.google_genai_jobs.Connection.look", refresh=datetime.now(UTC))
    assert (len(server.jobs), len(journal(tmp_path))) == (2, 12)
    project(**{"teachers.gemini.batch": by_batch})
    run()
    assert (len(server.jobs), len(journal(tmp_path))) == (2, 24)
    assert totals()["answers"] == len(server.requests) == 24


@pytest.mark.parametrize("by_batch", [True, False])
def test_a_shard_that_misses_nothing_takes_those_of_another(project, server, monkeypatch, tmp_path, by_batch):
    killed_at(monkeypatch, "analyzers.gemini.google_genai_jobs.Connection.look", shard=Shard(1, 2))
    project(**{"teachers.gemini.batch": by_batch})
    images, shards = read_table(paths.samples("folder"))["sha256"], (Shard(number, 99) for number in range(1, 99))
    run(shard=next(shard for shard in shards if not any(map(shard.has, images))))
    [job] = server.jobs
    assert len(journal(tmp_path)) == len(server.requests) == len(job.lines)
