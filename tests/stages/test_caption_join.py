"""Journals of several machines in one: each record once, whoever is killed, and nothing that is no answer."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from analyzers import joining
from m3agiqa.errors import InputError
from tests.captioned import captions, ends, run
from tests.gemini_server import TEXTS, answer

KEPT = Path(".cache/caption/gemini")
JOURNAL = KEPT / "answers.jsonl"
IMAGES = 12  # that the teacher sees


def lines(journal=JOURNAL):
    return journal.read_text().splitlines(keepends=True)


def test_the_same_records_are_joined_once(shards, server, machine, capsys):
    machine(1)
    before, others = lines(), [folder / ".cache" for folder in shards]
    run(join=others)
    joined = lines()
    assert joined[: len(before)] == before
    assert sorted(joined) == sorted(
        line for folder in shards for line in (before if folder == shards[0] else lines(folder / JOURNAL))
    )
    said = capsys.readouterr().out
    assert f"{IMAGES} records in 3 journals, {IMAGES - len(before)} of them new in .cache" in said.replace(
        f"{shards[0]}/", ""
    )
    assert said.endswith("; what they cost counts towards max_usd here, too\n")
    run(join=[others[1], others[1], others[2]])
    assert lines() == joined
    assert "0 of them new" in capsys.readouterr().out


def test_of_two_answers_the_newer_one_stands_wherever_it_was_joined(machine, server):
    machine("old")
    run()
    old, before = Path("old.jsonl").absolute(), captions()
    old.write_text("".join(lines()))
    newer = dict.fromkeys(TEXTS, "It looks quite another way by now.")
    server.script = lambda request: answer(request, said=newer)
    run(refresh=datetime.now(UTC))
    after = captions()
    JOURNAL.write_text("".join(lines()[len(before) :]))
    for _ in range(2):
        run(join=[old])
        run()
        assert len(lines()) == 2 * len(before)
        assert captions().equals(after)
        assert not captions().equals(before)


@pytest.mark.parametrize("written", range(4))
def test_a_join_that_is_killed_goes_on(shards, machine, monkeypatch, written):
    machine(1)
    left = iter(range(written))
    append = joining.Journal.append

    def killed(journal, record):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return append(journal, record)

    with monkeypatch.context() as patch:
        patch.setattr(joining.Journal, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            run(join=shards[1:])
    with JOURNAL.open("a") as journal:
        journal.write('{"image": "torn')
    run(join=shards[1:])
    assert len(lines()) == len(set(lines())) == IMAGES


def test_of_a_journal_that_is_torn_the_rest_is_joined(shards, machine):
    machine(1)
    whole = lines(shards[1] / JOURNAL)
    (shards[1] / JOURNAL).write_text("".join(whole)[:-9])
    before = len(lines())
    run(join=[shards[1] / JOURNAL])
    assert len(lines()) == before + len(whole) - 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("image_id,quality\n1,It is sharp.\n", r"line 1: not JSON \(.*\); expected a teacher's answer"),
        ("nothing", "line 1: not JSON .*; expected a teacher's answer"),
        ("[1]\n", "line 1: expected an object .*; expected a teacher's answer"),
        ('{"planned": "m3agiqa-1"}\n', r"line 1: not a teacher's answer \(image: Field required\)"),
        ("\x00\x01\n", "line 1: not JSON .*; expected a teacher's answer"),
    ],
)
def test_what_is_no_journal_is_refused_in_one_line_and_nothing_is_joined(shards, machine, capsys, content, why):
    machine(1)
    before = lines()
    Path("other.jsonl").write_text(content)
    with pytest.raises(InputError, match=rf"^other\.jsonl, {why}"):
        run(join=[shards[1] / JOURNAL, Path("other.jsonl")])
    status, said = ends(capsys, join=[Path("other.jsonl")])
    assert (status, said.count("\n")) == (2, 0)
    assert lines() == before


def test_a_damaged_record_is_named(shards, machine):
    machine(1)
    record = json.loads(lines()[0])
    record["parts"]["quality"] = "no hash"
    Path("other.jsonl").write_text(lines()[0] + json.dumps(record) + "\n")
    with pytest.raises(InputError, match=r"other\.jsonl, line 2: not a teacher's answer \(parts\.quality: "):
        run(join=[Path("other.jsonl")])


def test_a_journal_whose_jobs_are_at_the_service_is_not_joined_yet(shards, machine):
    machine(1)
    before, jobs = lines(), shards[1] / KEPT / "jobs.jsonl"
    jobs.write_text('{"planned": "m3agiqa-1", "file": "f", "at": 1.0, "questions": []}\n')
    told = "m3agiqa-1; run caption there first, with the settings of then, .* given up, remove this file"
    with pytest.raises(InputError, match=rf"^\S+jobs\.jsonl: jobs whose answers are not taken yet: {told}$"):
        run(join=shards[1:])
    assert lines() == before
    with jobs.open("a") as file:
        file.write('{"ended": "m3agiqa-1", "state": "SUCCEEDED", "failures": []}\n')
    run(join=shards[1:])
    assert len(lines()) == IMAGES


def test_jobs_that_are_given_up_keep_no_journal_back(shards, machine):
    machine(1)
    jobs = shards[1] / KEPT / "jobs.jsonl"
    jobs.write_text('{"planned": "m3agiqa-1", "file": "f", "at": 1.0, "questions": []}\n')
    jobs.unlink()  # as the message says
    run(join=shards[1:])
    assert len(lines()) == IMAGES


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_where_there_is_no_journal_one_line_says_what_was_expected(machine, place):
    machine(1)
    with pytest.raises(InputError, match=r"expected a journal, gemini/answers\.jsonl, or a folder"):
        run(join=[Path(place)])
