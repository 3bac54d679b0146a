"""The caption stage with a paid teacher, over real HTTP: what it sends, keeps, and how it ends."""

import errno
import json
import os
import random
import re
import shutil
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from analyzers import asking
from analyzers.gemini.teacher import Gemini
from analyzers.journalled import Options
from analyzers.ledger import Ledger
from analyzers.teacher import Answer, Question, Usage
from data.tables.frames import read_table, write_table
from m3agiqa.errors import InputError
from m3agiqa.journal import Journal
from pipeline import paths
from pipeline.settings import load
from pipeline.stage import stage
from stages import caption, source
from tests import tiny_mllm
from tests.caption_project import ASPECTS, write_params, write_samples, write_splits
from tests.gemini_server import KEY, TEXTS, GeminiServer, answer, blocked_prompt, daily_quota, error, too_many

IMAGES = 16
SPLIT = ["train", "train", "val", "test"] * (IMAGES // 4)


@pytest.fixture(autouse=True)
def server(monkeypatch):
    with GeminiServer() as server:
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
        monkeypatch.setenv("GEMINI_API_ENDPOINT", server.url)
        yield server


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in a new folder; `project(**changes)` writes its params again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    write_samples(IMAGES)
    write_splits(SPLIT)
    write_params()
    return write_params


def run(**options):
    caption.main(load(), Options(**options))


def captions():
    return read_table(paths.captions("folder"))


def totals():
    return json.loads((paths.RESULTS / "caption.json").read_text())


def test_train_and_val_images_are_described_and_nothing_else_is_sent(project, server):
    run()
    expected = {f"ball {number}" for number, part in enumerate(SPLIT) if part != "test"}
    assert set(server.prompts()) == expected
    assert len(server.requests) == len(expected)
    described = captions()
    assert list(described.columns) == ["image_id", *ASPECTS, "teacher", "saw_mos"]
    assert set(described["quality"]) == {TEXTS["quality"]}
    assert described["saw_mos"].all()
    said = totals()
    assert (said["images"], said["described"], said["failed"], said["requests"]) == (12, 12, 0, 12)
    assert said["tokens"]["input"] > 12 * 258
    assert said["usd"] > 0
    assert said["answered_by"] == {"gemini-3.8-flash": 12}


def test_what_was_answered_is_never_asked_again(project, server):
    run()
    before = paths.captions("folder").read_bytes(), totals()
    paths.captions("folder").unlink()
    run()
    assert (paths.captions("folder").read_bytes(), totals()) == before
    shuffled = random.Random(1).sample(SPLIT, IMAGES)
    write_splits(shuffled)
    run()
    fresh = sum(old == "test" != new for old, new in zip(SPLIT, shuffled, strict=True))
    assert len(server.requests) == 12 + fresh


def test_the_same_picture_in_several_rows_is_asked_about_once(project, server):
    samples = read_table(paths.samples("folder"))
    same = ["path", "prompt", "sha256", *(column for column in samples if column.startswith(("mos_", "std_")))]
    samples.loc[:, same] = samples.loc[0, same].to_numpy()
    write_table(samples, paths.samples("folder"))
    run()
    assert len(server.requests) == 1
    assert len(set(captions()["quality"])) == 1


def test_without_a_key_what_is_answered_is_still_there(project, monkeypatch):
    run()
    monkeypatch.delenv("GEMINI_API_KEY")
    run()


def test_a_new_aspect_is_asked_for_alone(project, server):
    run()
    write_samples(IMAGES, (*ASPECTS, "authenticity"))
    run()
    assert {request.aspects for request in server.requests[12:]} == {("authenticity",)}
    assert len(server.requests) == 24
    assert set(captions()["authenticity"]) == {TEXTS["authenticity"]}
    assert set(captions()["quality"]) == {TEXTS["quality"]}


def test_a_refresh_that_fails_keeps_the_earlier_words(project, server):
    run()
    before = paths.captions("folder").read_bytes()
    server.script = blocked_prompt
    run(refresh=datetime.now(UTC))
    assert len(server.requests) == 24
    assert paths.captions("folder").read_bytes() == before
    run(retry_blocked=True)
    assert len(server.requests) == 24


@pytest.mark.parametrize(
    "change",
    [
        {"teachers.gemini.model": "gemini-4-argon"},
        {"teachers.gemini.temperature": 0.5},
        {"teachers.gemini.show_mos": False},
    ],
)
def test_another_request_is_another_answer(project, server, change):
    run()
    project(**change)
    run()
    assert len(server.requests) == 24


def test_what_changes_no_answer_asks_nothing(project, server):
    run()
    project(**{"runtime.teacher.concurrency": 1, "teachers.gemini.prices.input": 9.0})
    run()
    assert len(server.requests) == 12


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


def test_refresh_asks_everything_again(project, server):
    run()
    server.script = lambda request: answer(request, version="gemini-4-argon") if request.number < 19 else daily_quota()
    begun = datetime.now(UTC)
    with pytest.raises(SystemExit):
        run(refresh=begun)
    kept = len(server.answered)
    assert kept == 19
    server.script = lambda request: answer(request, version="gemini-4-argon")
    asked = len(server.requests)
    run(refresh=begun)
    assert len(server.requests) - asked == 24 - kept
    assert totals()["answered_by"] == {"gemini-3.8-flash": 12, "gemini-4-argon": 12}


def test_a_dry_run_counts_and_asks_nothing(project, server, capsys):
    run(dry_run=True)
    said = capsys.readouterr().out
    assert "12 images, 0 of them failed before; 12 new requests" in said
    assert "counted by the service on 8 of them" in said
    assert "at most, 8,192 each" in said
    assert "prices of 2026-11-25" in said
    assert not server.requests
    assert not paths.captions("folder").exists()
    run()
    run(dry_run=True)
    assert "; 0 new requests" in capsys.readouterr().out
    run(dry_run=True, refresh=datetime.now(UTC))
    said = capsys.readouterr().out
    assert f"input:  {totals()['tokens']['input']:,} tokens" in said
    assert f"output: {totals()['tokens']['output']:,} tokens (by the mean" in said
    assert len(server.requests) == 12


def ends(capsys):
    """The exit status of the stage and what it said last."""
    with pytest.raises(SystemExit) as stopped:
        stage(caption.main)
    return stopped.value.code, capsys.readouterr().err.splitlines()[-1]


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
    monkeypatch.setattr(asking, "PATIENCE", 0)
    server.script = lambda request: answer(request) if request.number < 5 else too_many("0s")
    status, said = ends(capsys)
    assert status == 69
    assert f"no answer after {asking.MOST_ATTEMPTS} attempts, the last one: Gemini answers 429" in said
    assert KEY not in said
    server.script, asked = answer, len(server.requests)
    run()
    assert len(server.requests) == asked + 12 - 5


def test_a_copy_of_the_repository_shares_the_answers(project, server, tmp_path, monkeypatch):
    run()
    elsewhere = shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns(".cache", "captions"))
    monkeypatch.chdir(elsewhere)  # as `dvc exp run --temp` does; DVC_ROOT still names the repository
    run()
    assert len(server.requests) == 12
    assert paths.captions("folder").read_bytes() == (tmp_path / paths.captions("folder")).read_bytes()


def test_a_daily_quota_ends_the_run_with_everything_kept(project, server, capsys):
    server.script = lambda request: answer(request) if request.number < 5 else daily_quota()
    status, said = ends(capsys)
    assert status == 75
    assert "run it again after" in said
    server.script = answer
    kept = len(server.requests)
    run()
    assert len(server.requests) == kept + 12 - 5


def test_the_days_requests_are_counted_over_runs(project, server, capsys):
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


def test_teacher_file(project, server, capsys):
    project(teacher="file", **{"teachers.file.path": "mine.csv", "caption.max_failed": 0.1})
    rows = [f'{number}.png,"{TEXTS["quality"]}","{TEXTS["correspondence"]}"' for number in range(IMAGES)]
    Path("mine.csv").write_text("\n".join(["name,quality,correspondence", *rows[:1], *rows[2:]]))
    run()
    assert captions()["teacher"].eq("file").all()
    assert totals()["failures"] == {"not in the file": 1}
    assert (totals()["described"], totals()["usd"]) == (11, 0)
    Path("mine.csv").write_text("name,quality,correspondence\n0.png,,x")
    status, said = ends(capsys)
    assert status == 2
    assert "mine.csv, row 2: quality of '0.png': empty" in said
    assert not server.requests


def test_teacher_mllm(project, server, monkeypatch, tmp_path):
    monkeypatch.delenv("GEMINI_API_KEY")
    write_samples(4)
    write_splits(SPLIT[:4])
    model = {"model": str(tiny_mllm.smolvlm(tmp_path / "smolvlm")), "max_new_tokens": 40, "max_length": 200}
    changes = {f"mllms.tiny.{key}": value for key, value in model.items()}
    project(teacher="mllm", **changes, **{"caption.max_failed": 0.9})  # its words are noise, and some are too few
    with pytest.raises(InputError, match=r"teacher\.json: not of mllm; run python -m stages\.source"):
        run(dry_run=True)
    Path("data/my_images").mkdir()
    source.main(load())
    run(dry_run=True)
    run()
    first = paths.captions("folder").read_bytes()
    assert {"0"} <= set(captions()["image_id"]) <= {"0", "1", "2"}
    assert not captions()["saw_mos"].any()
    assert (totals()["images"], totals()["requests"]) == (3, 3)
    kept = tmp_path / ".cache/caption/mllm/answers.jsonl"
    assert kept.read_text().count("\n") == 3
    run()
    assert kept.read_text().count("\n") == 3
    assert paths.captions("folder").read_bytes() == first
    assert not server.requests


def test_teacher_offline_costs_nothing(project, server, capsys):
    project(teacher="offline")
    run()
    assert list(captions().columns) == ["image_id", *ASPECTS, "teacher"]
    assert (totals()["described"], totals()["requests"], totals()["usd"]) == (12, 0, 0)
    run(dry_run=True)
    assert "offline is free" in capsys.readouterr().out
    assert not server.requests


def test_nothing_is_said_of_an_aspect_that_an_image_is_tested_on(project):
    """With published lists an image may be tested on one aspect and train another."""
    splits = pd.DataFrame({"image_id": map(str, range(IMAGES)), "split": SPLIT, "split_correspondence": SPLIT})
    splits["split_quality"] = splits["split"].mask(splits["image_id"] == "0", "test")
    write_table(splits, paths.splits("folder"))
    project(teacher="offline")
    run()
    said = captions().set_index("image_id")
    assert said["quality"].isna().sum() == 1
    assert pd.isna(said.loc["0", "quality"])
    assert said["correspondence"].notna().all()
