"""The caption stage by jobs of the Batch API, over real HTTP: what is sent, how large, and what comes of answers."""

import json
import re
from datetime import UTC, datetime

import pytest

from analyzers import patience
from analyzers.shards import Shard
from data.tables.frames import read_table, write_table
from pipeline import paths
from tests.captioned import captions, ends, run, totals
from tests.gemini_batches import answered, once
from tests.gemini_server import answer, bad_image, blocked_prompt, error, too_many

pytest.importorskip("google.genai")


@pytest.fixture(autouse=True)
def server(batch_server):
    return batch_server


@pytest.fixture
def project(batch_project):
    return batch_project


def number(request):
    return int(request.text.split('"ball ')[1].split('"')[0])


def journal(root):
    return [json.loads(line) for line in (root / ".cache/caption/gemini/answers.jsonl").read_text().splitlines()]


def test_all_is_asked_in_one_job_at_half_the_price(project, server, capsys):
    run()
    [job] = server.jobs
    assert (len(job.lines), len(captions())) == (12, 12)
    assert once(server)
    by_jobs = totals()
    assert by_jobs["answers"] == by_jobs["requests"] == 12
    assert not server.files.keys() - {"files/batch-0"}  # what was uploaded is removed
    assert "at the service" not in capsys.readouterr().err
    text = paths.captions("folder").read_bytes()
    run()
    assert len(server.jobs) == 1

    project(**{"teachers.gemini.batch": False, "teachers.gemini.temperature": 0.5})
    run()
    assert len(server.jobs) == 1
    assert totals()["tokens"] == by_jobs["tokens"]
    assert by_jobs["usd"] == pytest.approx(totals()["usd"] / 2, abs=1e-4)
    assert paths.captions("folder").read_bytes() == text


@pytest.mark.parametrize(
    "levers", [{}, {"thinking": "low", "media_resolution": "low"}, {"thinking": 128}], ids=["plain", "low", "budget"]
)
def test_a_line_is_what_is_sent_online(project, server, levers):
    project(**{f"teachers.gemini.{name}": value for name, value in levers.items()})
    run()
    project(**{f"teachers.gemini.{name}": value for name, value in levers.items()}, **{"teachers.gemini.batch": False})
    run(refresh=datetime.now(UTC))
    by_jobs, online = server.requests[:12], server.requests[12:]
    assert len(online) == 12
    bodies = [{number(request): plain(request.body) for request in requests} for requests in (by_jobs, online)]
    assert bodies[0] == bodies[1]


def plain(body):
    """The API takes names in two ways, and base64 in two alphabets."""
    if isinstance(body, dict):
        return {re.sub(r"_(.)", lambda found: found[1].upper(), name): plain(value) for name, value in body.items()}
    if isinstance(body, list):
        return list(map(plain, body))
    return body.translate(str.maketrans("-_", "+/")) if isinstance(body, str) and len(body) > 60 else body


def test_jobs_are_no_larger_than_they_may_be(project, server, monkeypatch):
    monkeypatch.setattr("analyzers.gemini.batch.GeminiBatch.most_requests", 5)
    run()
    assert [len(job.lines) for job in server.jobs] == [5, 5, 2]
    monkeypatch.undo()


def test_nor_are_their_files(project, server, monkeypatch):
    monkeypatch.setattr("analyzers.gemini.batch.GeminiBatch.most_bytes", 8000)
    run()
    assert len(server.jobs) > 2
    assert server.largest <= 8000
    assert once(server)
    assert len(captions()) == 12


def test_so_many_jobs_at_once(project, server, monkeypatch):
    monkeypatch.setattr("analyzers.gemini.batch.GeminiBatch.most_requests", 2)
    monkeypatch.setattr("analyzers.gemini.batch.GeminiBatch.most_jobs", 2)
    at_once = []

    def creates(_):
        at_once.append(sum(job.state == "PENDING" for job in server.jobs))

    server.creates = creates
    run()
    assert len(server.jobs) == 6
    assert max(at_once) == 1
    assert once(server)


def test_the_same_picture_in_two_rows_is_sent_once(project, server):
    samples = read_table(paths.samples("folder"))
    same = ["path", "prompt", "sha256", *(column for column in samples if column.startswith(("mos_", "std_")))]
    samples.loc[:, same] = samples.loc[0, same].to_numpy()
    write_table(samples, paths.samples("folder"))
    run()
    assert [len(job.lines) for job in server.jobs] == [1]
    assert len(set(captions()["quality"])) == 1


def test_a_shard_is_asked_by_jobs_too(project, server):
    for number in (1, 2):
        run(shard=Shard(number, 2))
    assert [0 < len(job.lines) < 12 for job in server.jobs] == [True, True]
    assert not paths.captions("folder").exists()
    run()
    assert len(server.jobs) == 2
    assert once(server)
    assert len(captions()) == 12


def test_lines_that_fail_are_asked_again_in_another_job(project, server):
    def answers(server, job):
        lines = answered(server, job)
        if job.number:
            return lines
        failing = [{"key": line["key"], "error": {"code": 13, "message": "Internal."}} for line in lines[:4]]
        return failing + lines[4:10]  # and two have no line

    server.answers = answers
    run()
    assert [len(job.lines) for job in server.jobs] == [12, 6]
    assert (totals()["described"], totals()["answers"], totals()["lost_requests"]) == (12, 12, 2)


def test_what_is_blocked_refused_or_unusable_ends_as_online(project, server):
    moves = {0: blocked_prompt, 1: lambda _: bad_image(), 2: lambda request: answer(request, said="{")}
    server.script = lambda request: moves.get(number(request), answer)(request)
    project(**{"caption.max_failed": 0.3})
    run()
    assert [len(job.lines) for job in server.jobs] == [12, 1, 1]
    reason = "request: Gemini answers 400: Unable to process input image. Please retry or report it."
    assert totals()["failures"] == {"prompt: PROHIBITED_CONTENT": 1, reason: 1, "unusable: no JSON object": 1}
    asked = len(server.jobs)
    run()
    assert len(server.jobs) == asked


def test_an_image_that_is_never_answered_fails_alone(project, server):
    server.script = lambda request: error(500) if number(request) == 2 else answer(request)
    run()
    assert [len(job.lines) for job in server.jobs] == [12, 1, 1]
    [reason] = totals()["failures"]
    assert reason.startswith("request: never answered: Gemini answers 500")


def test_where_nothing_is_accepted_it_is_the_settings(project, server, capsys, tmp_path):
    server.script = lambda _: error(400, "temperature must be between 0 and 2.")
    status, said = ends(capsys)
    assert status == 2
    assert "400: temperature must be between 0 and 2.; nothing was accepted yet" in said
    assert not journal(tmp_path)
    server.script = answer
    run()
    assert len(captions()) == 12


@pytest.mark.parametrize("state", ["EXPIRED", "CANCELLED", "FAILED"])
def test_a_job_that_ends_without_answers_is_sent_anew(project, server, state):
    server.ends = lambda job: "SUCCEEDED" if job.number else state
    run()
    assert [len(job.lines) for job in server.jobs] == [12, 12]
    assert len({job.display_name for job in server.jobs}) == 2
    assert len(captions()) == 12
    assert totals()["lost_requests"] == (0 if state == "FAILED" else 12)


def test_a_service_whose_jobs_all_end_so_ends_the_run(project, server, capsys):
    server.ends = lambda _: "EXPIRED"
    status, said = ends(capsys)
    assert status == 69
    assert "no answer after 3 attempts, the last one: job batches/2 ended as EXPIRED" in said
    assert len(server.jobs) == 3


def test_a_service_that_takes_no_more_now_is_asked_later(project, server, monkeypatch):
    monkeypatch.setattr("analyzers.gemini.batch.GeminiBatch.most_requests", 4)

    def creates(_):
        return too_many("0s") if any(job.state == "PENDING" for job in server.jobs) else None

    server.creates = creates
    run()
    assert [len(job.lines) for job in server.jobs] == [4, 4, 4]
    assert once(server)


def test_no_job_is_sent_that_could_pass_what_may_be_spent(project, server, capsys):
    prices = {"teachers.gemini.prices.input": 100.0, "teachers.gemini.prices.output": 1000.0}
    limits = {"teachers.gemini.max_output_tokens": 400, "runtime.teacher.max_usd": 0.5}
    project(**prices, **limits)
    assert ends(capsys)[0] == 77
    assert len(server.jobs[0].lines) == 2  # 0.22 each at most, at half the price
    assert 2 < len(server.requests) < 12
    project(**prices, **{"teachers.gemini.max_output_tokens": 400})
    run()
    assert once(server)
    assert len(captions()) == 12


def test_a_probe_asks_online_and_the_estimate_is_at_half_the_price(project, server, capsys):
    run(probe=8)
    assert not server.jobs
    said = capsys.readouterr().out
    assert "of which a batch costs 50%" in said
    assert "time:   a day, as a rule" in said
    run()
    assert [len(job.lines) for job in server.jobs] == [4]
    assert ", 0.0% too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("move", "status"), [(error(403, "No access."), 2), (error(400, "Not so."), 2), (too_many("0s"), 69)]
)
def test_a_job_that_is_not_taken_ends_in_one_line(project, server, capsys, monkeypatch, move, status):
    monkeypatch.setattr(patience, "PATIENCE", 0)
    server.creates = lambda _: move
    ended, said = ends(capsys)
    assert ended == status
    assert move.body["error"]["message"] in said
    server.creates = lambda _: None
    run()
    assert [len(job.lines) for job in server.jobs] == [12]
