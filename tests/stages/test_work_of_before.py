"""What an earlier run left in .cache/ is of that run's inputs: where one has changed since, it is not taken."""

import shutil
from pathlib import Path

import pytest
from transformers import logging

from data.tables.frames import read_table, write_table
from pipeline import paths
from stages import describe, distill, features, train
from tests import tiny_mllm
from tests.few_images import project
from tests.tiny_mllm import picture

logging.disable_progress_bar()

PROFILE = {"revision": None, "dtype": "float32", "max_length": 300, "max_new_tokens": 8, "fewer_views": []}
LORA = {"r": 4, "alpha": 16, "dropout": 0.0, "targets": r".*text_model.*_proj", "modules_to_save": []}
OUTS = {distill: paths.adapter, describe: paths.descriptions, features: paths.features, train: paths.head}


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder = tiny_mllm.smolvlm(tmp_path / "model")
    chosen = project(PROFILE | {"model": str(folder), "lora": LORA})
    return chosen.model_copy(update={"distill": chosen.distill.model_copy(update={"warmup": 0.3})})


def edit(path: Path, column: str, value: object) -> None:
    """Another value for the first image."""
    table = read_table(path)
    table.loc[0, column] = value
    write_table(table, path)


def another_picture(chosen):
    picture(99, 32, 32).save(paths.raw(chosen.dataset) / "images/i00.png")
    edit(paths.samples(chosen.dataset), "sha256", "another")


def another_prompt(chosen):
    edit(paths.samples(chosen.dataset), "prompt", "a dog in the rain")


def another_mos(chosen):
    edit(paths.samples(chosen.dataset), f"mos_{chosen.aspect}", 4.75)


def another_explanation(chosen):
    edit(paths.captions(chosen.dataset), chosen.aspect, "It falls apart.")


def another_description(chosen):
    edit(paths.descriptions(chosen.dataset, chosen.aspect), "description", "It falls apart.")


def another_student(chosen):
    distill.main(chosen)


def run(stage, chosen) -> dict[str, bytes]:
    """What the stage writes."""
    stage.main(chosen)
    out = OUTS[stage](chosen.dataset, chosen.aspect)
    return {path.name: path.read_bytes() for path in ([out] if out.is_file() else out.iterdir())}


@pytest.mark.parametrize(
    ("stage", "change"),
    [
        *[(distill, change) for change in (another_picture, another_prompt, another_mos, another_explanation)],
        *[(describe, change) for change in (another_picture, another_prompt, another_student)],
        *[(features, change) for change in (another_picture, another_prompt, another_description, another_student)],
        (train, another_mos),
    ],
)
def test_a_changed_input_is_another_work(chosen, stage, change):
    for earlier in {features: [describe], train: [describe, features]}.get(stage, []):
        earlier.main(chosen)
    before = run(stage, chosen)
    change(chosen)
    after = run(stage, chosen)
    shutil.rmtree(".cache")
    assert run(stage, chosen) == after  # the same inputs are the same bytes, too
    assert after != before
