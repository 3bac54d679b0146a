"""The caption stage with each teacher, a paid one over real HTTP: what it sends, keeps, and never asks again."""

import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from data.tables.frames import read_table, write_table
from m3agiqa.errors import InputError
from m3agiqa.files import sha256
from pipeline import paths
from tests.caption_project import ASPECTS, write_samples, write_splits
from tests.captioned import IMAGES, SPLIT, captions, ends, run, totals
from tests.every_teacher import Local, look_at_sources, mllm_params, well
from tests.gemini_server import TEXTS, answer, daily_quota

pytestmark = pytest.mark.usefixtures("server")


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


def test_another_picture_under_the_same_name_is_asked_about(project, server):
    run()
    asked = len(server.requests)
    path, samples = paths.raw("folder") / "images/0.png", read_table(paths.samples("folder"))
    Image.new("RGB", (32, 32), "white").save(path)
    samples.loc[samples["image_id"] == "0", "sha256"] = sha256(path)
    write_table(samples, paths.samples("folder"))
    run()
    assert len(server.requests) == asked + 1


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


def test_refresh_asks_everything_again(project, server):
    run()
    server.script = lambda request: answer(request, version="gemini-4-argon") if request.number < 19 else daily_quota()
    begun = datetime.now(UTC)
    with pytest.raises(SystemExit):
        run(refresh=begun)
    server.script = lambda request: answer(request, version="gemini-4-argon")
    asked = len(server.requests)
    run(refresh=begun)
    assert len(server.requests) - asked == 24 - 19
    assert totals()["answered_by"] == {"gemini-3.8-flash": 12, "gemini-4-argon": 12}


def test_a_dry_run_counts_and_asks_nothing(project, server, capsys):
    run(dry_run=True)
    said = capsys.readouterr().out
    assert "12 images, 0 of them failed before; 12 new requests" in said
    assert "counted by the service on 8 of them" in said
    assert "output: known from answers alone: --probe 8 has 8 images answered" in said
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


def test_a_copy_of_the_repository_shares_the_answers(project, server, tmp_path, monkeypatch):
    run()
    elsewhere = shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns(".cache", "captions"))
    monkeypatch.chdir(elsewhere)  # as `dvc exp run --temp` does; DVC_ROOT still names the repository
    run()
    assert len(server.requests) == 12
    assert paths.captions("folder").read_bytes() == (tmp_path / paths.captions("folder")).read_bytes()


def test_teacher_file(project, server, capsys):
    project(teacher="file", **{"teachers.file.path": "mine.csv", "caption.max_failed": 0.1})
    rows = [f'{number}.png,"{TEXTS["quality"]}","{TEXTS["correspondence"]}"' for number in range(IMAGES)]
    rows[0] = f'0.png,"{TEXTS["quality"]} A solid four.","{TEXTS["correspondence"]}"'
    Path("mine.csv").write_text("\n".join(["name,quality,correspondence", *rows[:1], *rows[2:]]))
    run()
    assert captions()["teacher"].eq("file").all()
    assert totals()["failures"] == {"not in the file": 1}
    assert (totals()["described"], totals()["explanations_that_repeat_the_score"], totals()["usd"]) == (11, 1, 0)
    Path("mine.csv").write_text("name,quality,correspondence\n0.png,,x")
    status, said = ends(capsys)
    assert status == 2
    assert "mine.csv, row 2: quality of '0.png': empty" in said
    assert not server.requests


def test_teacher_mllm(project, server, monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("GEMINI_API_KEY")
    project(**mllm_params(tmp_path / "smolvlm"))
    with pytest.raises(InputError, match=r"teacher\.json: not of mllm; run python -m stages\.source"):
        run(dry_run=True)
    look_at_sources()
    run(dry_run=True)
    assert "12 images, 0 of them failed before; 12 new requests" in capsys.readouterr().out
    Local(monkeypatch).say(well)
    run()
    first = paths.captions("folder").read_bytes()
    assert not captions()["saw_mos"].any()
    assert (totals()["images"], totals()["requests"]) == (12, 12)
    kept = tmp_path / ".cache/caption/mllm/answers.jsonl"
    assert kept.read_text().count("\n") == 12
    run()
    assert kept.read_text().count("\n") == 12
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
