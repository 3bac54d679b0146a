"""The caption stage with a model on this machine: what it is asked at once, what of a cut answer stands, kills."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import logging

from data.tables.frames import read_table, write_table
from m3agiqa.errors import InputError
from m3agiqa.mllm.readings import Written
from pipeline import paths, processes
from pipeline.settings import load
from stages import caption
from tests import forks, tiny_minicpm, tiny_mllm
from tests.caption_project import ASPECTS, write_splits
from tests.captioned import SPLIT, captions, run, totals
from tests.every_teacher import Local, look_at_sources, mllm_params, well
from tests.gemini_server import TEXTS
from tests.noisy_mllm import make_short

logging.disable_progress_bar()

SEEN = [number for number, part in enumerate(SPLIT) if part != "test"]
MODELS = {
    "smolvlm": tiny_mllm.smolvlm,
    "qwen3-vl": tiny_mllm.qwen3_vl,
    "minicpm-v-4_6": tiny_mllm.minicpm_v_4_6,
    "minicpm-llama3-v-2_5": tiny_minicpm.minicpm,
}
ALL = " and ".join(ASPECTS)
TWO_GPUS = [
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="no two GPUs here"),
    pytest.mark.filterwarnings("ignore"),  # of another torch, whose versions a borrowed machine has
]
CUT = f'{{"quality": "{TEXTS["quality"]}", "correspondence": "The ball of the'


@pytest.fixture
def params(project, tmp_path):
    """Writes the params of a tiny model's project again, with changes."""
    params = mllm_params(tmp_path / "smolvlm") | {"caption.max_failed": 0.2, "runtime.batch": 5}

    def write(**changes):
        project(**params | changes)
        look_at_sources()

    write()
    return write


@pytest.fixture
def model(params, monkeypatch):
    local = Local(monkeypatch)
    local.say(well)
    return local


@pytest.fixture
def noisy(params, monkeypatch):
    """The same for models that say what their random weights have them say."""
    make_short(monkeypatch)
    write_splits(["train", "train", "val", "val", *["test"] * (len(SPLIT) - 4)])
    usual = {"mllms.tiny.max_length": 400, "mllms.tiny.max_new_tokens": 12, "caption.max_failed": 0.95}
    usual |= {"runtime.batch": 3}

    def write(**changes):
        params(**usual | changes)

    write()
    return write


def journal() -> Path:
    return Path(".cache/caption/mllm/answers.jsonl")


def records() -> list[dict]:
    return [json.loads(line) for line in journal().read_text().splitlines()]


def asked(model, number):
    """What was asked about an image; questions of a round come by their length."""
    asks = [ask for ask in model.asks if ask.number == number]
    return [" and ".join(ask.aspects) for ask in sorted(asks, key=lambda ask: (not ask.together, ask.aspects[::-1]))]


def test_all_aspects_of_several_images_are_asked_at_once(model):
    run()
    assert model.batches == [5, 5, 2]
    assert all(ask.together and ask.aspects == list(ASPECTS) for ask in model.asks)
    assert sorted(ask.number for ask in model.asks) == SEEN
    assert set(captions()["correspondence"]) == {TEXTS["correspondence"]}
    assert not captions()["saw_mos"].any()


def test_what_an_answer_lacks_is_asked_for_alone(model):
    first = {1: json.dumps({"quality": TEXTS["quality"]}), 2: "It is a fine picture of a red ball on a table."}

    def speak(ask):
        if not ask.together:
            return Written(TEXTS[ask.aspects[0]], ended=True)
        return Written(first.get(ask.number, json.dumps(TEXTS)), ended=True)

    model.speak(speak)
    run()
    assert asked(model, 1) == [ALL, "correspondence"]
    assert asked(model, 2) == [ALL, "correspondence", "quality"]
    assert model.batches == [5, 5, 2, 3]
    assert totals()["failed"] == 0
    assert totals()["requests"] == len(model.asks) == 15


def test_of_an_answer_that_is_cut_stands_what_is_whole(model):
    def speak(ask):
        if ask.number != 1:
            return Written(json.dumps(TEXTS), ended=True)
        return Written(CUT if ask.together else "The ball is red. It lies on a plain table. Its sha", ended=False)

    model.speak(speak)
    run()
    assert asked(model, 1) == [ALL, "correspondence"]
    said = captions().set_index("image_id").loc["1"]
    assert (said["quality"], said["correspondence"]) == (TEXTS["quality"], "The ball is red. It lies on a plain table.")
    assert {record["finish_reason"] for record in records() if record["image"] == "1"} == {"MAX_TOKENS"}


def test_where_nothing_is_whole_the_image_fails_and_no_question_is_put_twice(model):
    model.speak(
        lambda ask: (
            Written("The ball of the", ask.number != 1) if ask.number == 1 else Written(json.dumps(well(0)), ended=True)
        )
    )
    run()
    assert totals()["failures"] == {"answer: MAX_TOKENS": 1}
    assert asked(model, 1) == [ALL, "correspondence", "quality"]
    run()
    assert len(asked(model, 1)) == 3
    model.say(well)
    run(retry_blocked=True)
    assert (totals()["failed"], len(asked(model, 1))) == (0, 4)


def test_where_all_aspects_do_not_fit_they_are_asked_one_by_one(model, params):
    params(**{"mllms.tiny.max_length": 700})
    run()
    assert {(len(ask.aspects), ask.together) for ask in model.asks} == {(1, False)}
    assert totals()["requests"] == len(model.asks) == 24


@pytest.mark.parametrize("stopped", [1, 2])
def test_a_killed_run_goes_on_with_the_images_that_are_left(model, stopped):
    said = model.asks

    def speak(ask):
        if len(model.batches) > stopped:
            raise KeyboardInterrupt
        return Written(json.dumps(TEXTS), ended=True)

    model.speak(speak)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(records()) == 5 * stopped
    said.clear()
    model.say(well)
    run()
    assert len(said) == 12 - 5 * stopped
    assert (totals()["described"], totals()["requests"]) == (12, 12)


def test_one_more_image_costs_one(model):
    run()
    write_splits([*SPLIT[:3], "train", *SPLIT[4:]])
    run()
    assert [ask.number for ask in model.asks[12:]] == [3]


def test_a_probe_asks_about_a_few(model, capsys):
    run(probe=2)
    assert len(model.asks) == 2
    assert "12 images, 0 of them failed before; 10 new requests" in capsys.readouterr().out
    run()
    assert sorted(ask.number for ask in model.asks) == SEEN


def test_the_same_picture_and_prompt_in_two_rows_is_asked_about_once(model):
    rows = read_table(paths.samples("folder"))
    same = ["path", "prompt", "sha256", *(name for name in rows if name.startswith(("mos_", "std_")))]
    rows.loc[rows["image_id"] == "2", same] = rows.loc[rows["image_id"] == "1", same].to_numpy()
    write_table(rows, paths.samples("folder"))
    run()
    assert len(asked(model, 1)) == 1
    assert len(captions()) == 12


def test_an_image_whose_question_is_too_long_fails_alone(noisy):
    rows = read_table(paths.samples("folder"))
    rows.loc[rows["image_id"] == "1", "prompt"] = "very " * 400 + "red"
    write_table(rows, paths.samples("folder"))
    run()
    (reason,) = [reason for reason in totals()["failures"] if reason.startswith("request: a conversation of")]
    assert "does not fit max_length 400" in reason
    assert [record["image"] for record in records() if record["finish_reason"] == "REFUSED"] == ["1", "1"]
    assert "1" not in set(captions()["image_id"])


def test_where_no_question_fits_it_is_the_settings(noisy):
    noisy(**{"mllms.tiny.max_length": 130})
    with pytest.raises(InputError, match=r"images/0\.png: a conversation of .* nothing was accepted yet"):
        run()
    assert not records()


@pytest.mark.parametrize("name", MODELS)
def test_in_a_batch_or_alone_every_architecture_says_the_same(noisy, tmp_path, name):
    folder = {"mllms.tiny.model": str(MODELS[name](tmp_path / "model"))}
    noisy(**folder)
    run()
    together, requests = paths.captions("folder").read_bytes(), len(records())
    assert len(captions())
    shutil.rmtree(".cache")
    noisy(**folder, **{"runtime.batch": 1})
    run()
    assert paths.captions("folder").read_bytes() == together
    assert len(records()) == requests


def test_no_other_teacher_runs_in_several_processes(params):
    assert caption.in_processes(load())
    params(teacher="gemini")
    assert not caption.in_processes(load())


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=TWO_GPUS)])
def test_two_processes_write_what_one_writes(noisy, monkeypatch, device):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    noisy(**{"runtime.device": device})
    run()
    alone, spent = paths.captions("folder").read_bytes(), totals()
    lines = journal().read_text().splitlines(keepends=True)
    paths.captions("folder").unlink()
    journal().write_text("".join(lines[:2]))  # as a kill leaves it, and the other one's
    journal().with_name("answers-1.jsonl").write_text("".join(lines[1:3]) + lines[3][:40])
    noisy(**{"runtime.launcher.processes": 2, "runtime.device": device})
    monkeypatch.setattr("sys.argv", ["stages/caption.py"])
    if device == "cpu":
        monkeypatch.setattr(torch.multiprocessing, "spawn", forks.spawn)  # torch alone takes seconds to import
    processes.launch("tests.noisy_mllm", 2)
    assert paths.captions("folder").read_bytes() == alone
    assert totals() == spent
    assert [path.name for path in journal().parent.glob("answers*")] == ["answers.jsonl"]
    assert journal().read_text().splitlines(keepends=True)[:3] == lines[:3]
