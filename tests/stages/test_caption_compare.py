"""What the caption stage says of the texts, and two teachers beside each other: nothing is asked for either."""

import fcntl
import re
from pathlib import Path

import pytest

from data.tables.frames import read_table, write_table
from m3agiqa.journal import Journal
from pipeline import paths
from pipeline.ranks import RANK
from pipeline.settings import load
from pipeline.stage import stage
from stages import caption
from tests.caption_project import ASPECTS
from tests.captioned import IMAGES, SPLIT, ends, run, totals
from tests.every_teacher import Local, look_at_sources, mllm_params, well
from tests.gemini_server import TEXTS, answer, blocked_prompt

SEEN = {str(image) for image, part in enumerate(SPLIT) if part != "test"}


def number(request):
    return int(re.search(r"ball (\d+)", request.text)[1])


def graded(request):
    """The higher the number, and with it the MOS, the more often one word."""
    said = {aspect: f"{TEXTS[aspect]} {'Crisp ' * number(request)}indeed." for aspect in ASPECTS}
    return answer(request, said={aspect: said[aspect] for aspect in request.aspects})


def commanded(capsys, monkeypatch, *options):
    """The status of the stage with these options of the command line, and all that it said."""
    monkeypatch.setattr("sys.argv", ["caption.py", *options])
    status = 0
    try:
        stage(caption._asked_for()[0])
    except SystemExit as stopped:
        status = stopped.code
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.fixture
def written(project):
    """Another teacher, in a file, who has described all images, the first of them in words of his own."""
    rows = [f'{image}.png,"{TEXTS["quality"]}","{TEXTS["correspondence"]}"' for image in range(IMAGES)]
    rows[0] = "0.png,A verdict of my own on this one.,Something quite different stands here."
    Path("mine.csv").write_text("\n".join(["name,quality,correspondence", *rows]))
    project(**{"teachers.file.path": "mine.csv"})
    return project


def test_the_summary_says_what_the_texts_are_worth(project, server):
    server.script = graded
    run()
    said = totals()
    assert (said["saw_scores"], said["explanations_refused"]) == (True, {})
    assert list(said["aspects"]) == list(ASPECTS)
    for found in said["aspects"].values():
        assert found["texts"] == len(SEEN)
        assert found["words"]["q05"] < found["words"]["q95"]
        assert found["mos_from_length"]["srcc"] == 1
        shown = {one["image_id"] for part in found["examples"].values() for one in part}
        assert shown <= SEEN
    project(**{"teachers.gemini.show_mos": False})
    run()
    assert totals()["saw_scores"] is False


def test_it_tells_what_was_refused_tries_included(project, server):
    def script(request):
        if number(request) == 1:
            return blocked_prompt(request)
        empty = number(request) == 2 and sum(number(other) == 2 for other in server.requests) == 1
        return answer(request, said={**TEXTS, "quality": ""} if empty else TEXTS)

    server.script = script
    project(**{"caption.max_failed": 0.1})
    run()
    assert totals()["failures"] == {"prompt: PROHIBITED_CONTENT": 1}
    refused = totals()["explanations_refused"]
    assert refused.pop("prompt: PROHIBITED_CONTENT") == len(ASPECTS)
    assert refused == {"unusable: empty": 1}


def test_a_stage_that_fails_has_its_counts_and_no_measure(project, server, capsys):
    server.script = lambda request: blocked_prompt(request) if number(request) == 1 else answer(request)
    assert ends(capsys)[0] == 2
    assert "aspects" not in totals()


def test_offline_sees_the_scores_and_nobody_knows_of_a_file(written):
    written(teacher="offline")
    run()
    assert totals()["saw_scores"] is True
    written(teacher="file", **{"teachers.file.path": "mine.csv"})
    run()
    assert totals()["saw_scores"] is None


def test_two_teachers_are_compared_and_nothing_is_asked_or_written(written, server, capsys, monkeypatch, tmp_path):
    server.script = graded
    run()
    asked, journal = len(server.requests), tmp_path / ".cache/caption/gemini/answers.jsonl"
    before = [path.read_bytes() for path in (paths.captions("folder"), paths.RESULTS / "caption.json", journal)]
    monkeypatch.delenv("GEMINI_API_KEY")
    for teacher, other in (("gemini", "file"), ("file", "gemini")):
        written(teacher=teacher, **{"teachers.file.path": "mine.csv"})
        status, said, _ = commanded(capsys, monkeypatch, "--compare", other)
        assert status == 0
        assert said.startswith(f"1: {teacher}, which ")
        assert "gemini, which was shown the scores" in said
        assert "file, which may have seen the scores" in said
        assert re.search(rf"(?m)^quality +{len(SEEN)} ", said)
        assert TEXTS["quality"][:40] in said
        assert max(map(len, said.splitlines())) <= 120
    assert len(server.requests) == asked
    assert [path.read_bytes() for path in (paths.captions("folder"), paths.RESULTS / "caption.json", journal)] == before


def test_a_caption_that_is_running_is_neither_waited_for_nor_disturbed(written, server, capsys, monkeypatch, tmp_path):
    run()
    journal = tmp_path / ".cache/caption/gemini/answers.jsonl"
    beside, lines = journal.with_name("answers-1.jsonl"), journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:7]))
    beside.write_text("".join(lines[5:]) + '{"image": "torn')  # as another process of the stage is writing it
    before = [path.read_bytes() for path in (journal, beside)]
    lock = fcntl.flock

    def at_once(file, how):
        assert how & fcntl.LOCK_NB, "it waits"
        lock(file, how)

    with Journal(journal):
        monkeypatch.setattr(fcntl, "flock", at_once)
        status, said, _ = commanded(capsys, monkeypatch, "--compare", "file")
    assert status == 0
    assert re.search(rf"(?m)^quality +{len(SEEN)} ", said)
    assert [path.read_bytes() for path in (journal, beside)] == before


def test_of_several_processes_one_compares(written, capsys, monkeypatch):
    monkeypatch.setenv(RANK, "1")
    caption.compare(load(), "file")
    assert not capsys.readouterr().out


def test_two_settings_of_one_service_share_a_journal(project, server, capsys, monkeypatch):
    run()
    second = load().teachers["gemini"].model_dump(mode="json") | {"show_mos": False}
    project(teacher="second", **{"teachers.second": second})
    run()
    status, said, _ = commanded(capsys, monkeypatch, "--compare", "gemini")
    assert status == 0
    assert said.splitlines()[:2] == [
        "1: second, which was shown no scores",
        "2: gemini, which was shown the scores",
    ]
    assert re.search(rf"(?m)^quality +{len(SEEN)} ", said)
    assert len(server.requests) == 2 * len(SEEN)


def test_an_aspect_that_an_image_is_tested_on_is_not_compared(written, capsys, monkeypatch):
    splits = read_table(paths.splits("folder"))
    splits["split_quality"] = splits["split"].mask(splits["image_id"] == "0", "test")
    write_table(splits, paths.splits("folder"))
    written(teacher="file", **{"teachers.file.path": "mine.csv"})
    _, said, _ = commanded(capsys, monkeypatch, "--compare", "offline")
    assert re.search(rf"(?m)^quality +{len(SEEN) - 1} ", said)
    assert re.search(rf"(?m)^correspondence +{len(SEEN)} ", said)
    assert "A verdict of my own" not in said


def test_who_has_said_nothing_has_nothing_in_common(project, server, capsys, monkeypatch, tmp_path):
    project(teacher="offline")
    for other in ("gemini", "openai", "mllm"):
        status, said, _ = commanded(capsys, monkeypatch, "--compare", other)
        assert status == 0
        assert said == f"no image has been described by both: offline has {len(SEEN)}, {other} has 0\n"
    assert not server.requests
    assert not (tmp_path / ".cache").exists()


@pytest.mark.parametrize("other", ["offline", "nobody", ""])
def test_no_other_teacher_is_one_line(project, capsys, monkeypatch, other):
    project(teacher="offline")
    status, _, said = commanded(capsys, monkeypatch, "--compare", other)
    assert status == 2
    assert said == (
        f"caption: --compare is {other!r}, expected another teacher of params.yaml than the one set: "
        "gemini, openai, mllm, file\n"
    )


def test_a_file_that_is_not_there_is_one_line(project, capsys, monkeypatch):
    project(teacher="offline")
    status, _, said = commanded(capsys, monkeypatch, "--compare", "file")
    assert status == 2
    assert "data/my_captions.csv: no such" in said.splitlines()[-1]


def test_a_model_of_this_machine_is_compared_as_the_teacher(project, capsys, monkeypatch, tmp_path):
    project(teacher="offline")
    journal = tmp_path / ".cache/caption/mllm/answers.jsonl"
    journal.parent.mkdir(parents=True)
    journal.touch()
    status, _, said = commanded(capsys, monkeypatch, "--compare", "mllm")
    assert status == 2
    assert "set teacher: mllm in params.yaml" in said.splitlines()[-1]
    journal.unlink()
    project(**mllm_params(tmp_path / "smolvlm"))
    look_at_sources()
    Local(monkeypatch).say(well)
    run()
    status, said, _ = commanded(capsys, monkeypatch, "--compare", "offline")
    assert status == 0
    assert said.startswith("1: mllm, which was shown no scores\n2: offline, which was shown the scores\n")
    assert re.search(rf"(?m)^quality +{len(SEEN)} ", said)


def test_a_comparison_is_no_dry_run(project, capsys, monkeypatch):
    status, _, said = commanded(capsys, monkeypatch, "--compare", "file", "--dry-run")
    assert status == 2
    assert "not allowed with argument" in said
    assert not paths.captions("folder").exists()
