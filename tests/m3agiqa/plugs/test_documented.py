"""The examples of docs/plugs.md, with models in miniature in the place of those that somebody has."""

import json
import re
import runpy
import shlex
import sys
from functools import partial

import pytest

from m3agiqa import score_files
from m3agiqa.__main__ import main
from m3agiqa.image_list import ListedImage
from m3agiqa.score import Interval, Score
from m3agiqa.score_files import Scored
from m3agiqa.scorer import Scorer
from tests.docs.pages import page
from tests.tiny_mllm import tokenizer

SAID = r"-?\d+\.\d\d, the best of 4 with a probability of \d+%"


@pytest.fixture
def run(tmp_path, monkeypatch, scorer, pipeline):
    """Run the one example of a section, in a folder of its own."""

    def run(section):
        import diffusers  # noqa: PLC0415 (an extra of the tests: `pipeline` has looked)

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(Scorer, "load", lambda **_: scorer)
        monkeypatch.setattr(diffusers.DiffusionPipeline, "from_pretrained", lambda _: pipeline)
        (block,) = page("docs/plugs.md").section(section).blocks
        (tmp_path / "example.py").write_text(block.code)
        return runpy.run_path("example.py")

    return run


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_trl(run, language_model, tmp_path, monkeypatch):
    trl = pytest.importorskip("trl", reason="trl is in requirements-dev.txt")
    language_model().save_pretrained(tmp_path / "path/to/model")
    tokenizer().save_pretrained(tmp_path / "path/to/model")
    short = {"max_steps": 1, "num_generations": 2, "per_device_train_batch_size": 2, "max_completion_length": 4}
    monkeypatch.setattr(
        trl, "GRPOConfig", partial(trl.GRPOConfig, **short, logging_steps=1, report_to=[], use_cpu=True)
    )
    run("TRL")
    state = json.loads((tmp_path / "trained/checkpoint-1/trainer_state.json").read_text())
    assert 0 < state["log_history"][0]["rewards/quality/mean"] < 5


def test_diffusers(run, tmp_path, capsys):
    run("diffusers")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(SAID, line) for line in lines)
    assert (tmp_path / "0.png").exists()
    assert (tmp_path / "1.png").exists()


def test_label_studio(tmp_path, monkeypatch):
    (block,) = page("docs/plugs.md").section("Label Studio").blocks
    predict, label_studio = map(shlex.split, block.code.splitlines())
    assert predict == ["m3agiqa", "predict", "--folder", "photos"]
    monkeypatch.chdir(tmp_path)
    score = Score("quality", "ok", 3.0, Interval(2.0, 4.0))
    score_files.write([Scored(ListedImage("cat.png", tmp_path, ""), [score])], tmp_path / "predictions")
    monkeypatch.setattr(sys, "argv", label_studio)
    main()
    (task,) = json.loads((tmp_path / "label_studio/tasks.json").read_text())
    assert task["data"]["image"] == "/data/local-files/?d=photos/cat.png"
