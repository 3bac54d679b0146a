"""Several machines share out what is asked: each image is asked about by one of them, once."""

from pathlib import Path

import pytest

from analyzers.shards import Shard
from data.tables.frames import read_table, write_table
from m3agiqa.errors import InputError
from pipeline import paths
from stages import caption
from tests.captioned import OF, SPLIT, captions, run, totals
from tests.every_teacher import Local, look_at_sources, mllm_params, well
from tests.gemini_server import answer, blocked_prompt

JOURNAL = Path(".cache/caption/gemini/answers.jsonl")
SEEN = sorted(f"ball {number}" for number, part in enumerate(SPLIT) if part != "test")


def of_image(number, move):
    return lambda request: move(request) if f'"ball {number}"' in request.text else answer(request)


def lines(journal=JOURNAL):
    return journal.read_text().splitlines(keepends=True)


def test_shards_ask_about_every_image_once_and_write_no_captions(shards, server, capsys):
    assert sorted(server.prompts()) == SEEN
    assert all(lines(folder / JOURNAL) for folder in shards)
    assert not [folder for folder in shards if (folder / paths.captions("folder")).exists()]
    run(shard=Shard(3, OF))
    assert len(server.requests) == len(SEEN)
    said = capsys.readouterr().out
    assert "caption: shard 3/3 is done: " in said
    assert "--join PATH" in said


def test_the_union_is_what_one_machine_writes(shards, server, machine):
    server.script = of_image(1, blocked_prompt)
    machine("alone")
    run()
    alone, spent = paths.captions("folder").read_bytes(), totals()
    server.requests.clear()
    for number in range(1, OF + 1):
        machine(f"another {number}")
        run(shard=Shard(number, OF))
    machine("another 1")
    run(join=[Path("../another 2/.cache/caption"), Path("../another 3") / JOURNAL])
    assert len(lines()) == len(SEEN)
    run()
    assert len(server.requests) == len(SEEN)
    assert paths.captions("folder").read_bytes() == alone
    assert totals() == spent
    assert spent["failures"] == {"prompt: PROHIBITED_CONTENT": 1}


@pytest.mark.parametrize("options", [{"shard": Shard(1, 2)}, {"join": [Path("x")]}])
def test_a_teacher_that_is_free_is_not_shared_out(project, options):
    project(teacher="offline")
    with pytest.raises(InputError, match="teacher offline is free"):
        run(**options)


def test_an_estimate_is_of_the_shard(machine, server, capsys):
    machine(1)
    found = []
    for number in range(1, OF + 1):
        run(dry_run=True, shard=Shard(number, OF))
        found.append(int(capsys.readouterr().out.split()[0]))
    assert sum(found) == len(SEEN)
    assert not server.requests
    run(probe=2, shard=Shard(1, OF))
    assert f"{found[0]} images, 0 of them failed before; {found[0] - 2} new requests" in capsys.readouterr().out
    probed = server.prompts()
    run(shard=Shard(1, OF))
    assert len(server.requests) == found[0]
    assert set(probed) <= set(server.prompts())


def test_a_shard_does_not_depend_on_what_was_answered(machine, server):
    machine("alone")
    run(shard=Shard(1, OF))
    first = set(server.prompts())
    machine("begun")
    run(probe=5)
    server.requests.clear()
    run(shard=Shard(1, OF))
    assert set(server.prompts()) <= first


def test_the_same_picture_in_two_rows_is_in_one_shard(machine, server):
    machine(1)
    rows = read_table(paths.samples("folder"))
    rows["sha256"] = rows.loc[0, "sha256"]
    write_table(rows, paths.samples("folder"))
    asked = []
    for number in range(1, OF + 1):
        run(shard=Shard(number, OF))
        asked.append(len(server.requests))
    assert sorted(asked) in ([0, 0, len(SEEN)], [0, len(SEEN), len(SEEN)], [len(SEEN)] * OF)


def test_failures_are_asked_again_by_shard(machine, server):
    machine(1)
    server.script = blocked_prompt
    run(shard=Shard(1, OF))
    blocked = len(server.requests)
    server.script = answer
    run(shard=Shard(2, OF), retry_blocked=True)
    after = len(server.requests)
    run(shard=Shard(1, OF), retry_blocked=True)
    assert len(server.requests) == after + blocked


def test_a_model_of_each_machine_is_shared_out_alike(project, monkeypatch, tmp_path):
    project(**mllm_params(tmp_path / "smolvlm"))
    look_at_sources()
    model = Local(monkeypatch)
    model.say(well)
    kept = tmp_path / ".cache/caption/mllm"
    run(shard=Shard(1, 2))
    first = len(model.asks)
    kept.rename(tmp_path / "first")
    run(shard=Shard(2, 2))
    assert 0 < first < len(model.asks) == len(SEEN)
    run(join=[tmp_path / "first"])
    run()
    assert len(model.asks) == len(SEEN)
    assert len(captions()) == len(SEEN)


@pytest.mark.parametrize("text", ["2", "0/8", "9/8", "0/0", "-1/2", "a/b", "２/8", "1/2/3", " 1/2"])
def test_what_is_no_shard_is_refused(text, monkeypatch, capsys):
    with pytest.raises(InputError, match="such as 2/8"):
        Shard.named(text)
    monkeypatch.setattr("sys.argv", ["caption", f"--shard={text}"])
    with pytest.raises(SystemExit) as stopped:
        caption._asked_for()
    assert stopped.value.code == 2
    assert "such as 2/8" in capsys.readouterr().err


def test_what_the_command_line_says(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["caption", "--shard", "2/8", "--probe", "3"])
    asked_for, asks = caption._asked_for()
    assert (asked_for.keywords["options"].shard, asks) == (Shard(2, 8), True)
    monkeypatch.setattr("sys.argv", ["caption", "--join", "a", "b"])
    asked_for, asks = caption._asked_for()
    assert (asked_for.keywords["options"].join, asks) == ([Path("a"), Path("b")], False)
    monkeypatch.setattr("sys.argv", ["caption", "--shard", "2/8", "--join", "a"])
    with pytest.raises(SystemExit):
        caption._asked_for()
    assert "--join takes whole journals" in capsys.readouterr().err
