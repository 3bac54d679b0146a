"""Test images teach nothing and choose nothing, and val images teach nothing, whatever the tables hold of them."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import logging

from data.tables.frames import read_table, write_table
from pipeline import paths
from stages import describe, distill, features, train
from tests import tiny_mllm
from tests.few_images import project
from tests.tiny_mllm import picture

logging.disable_progress_bar()

IMAGES = 12  # five of train, three of val, four of test
PROFILE = {"revision": None, "dtype": "float32", "max_length": 300, "max_new_tokens": 8, "fewer_views": []}
LORA = {"r": 4, "alpha": 16, "dropout": 0.0, "targets": r".*text_model.*_proj", "modules_to_save": []}


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    """Every image has an explanation, those of the test part too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder = tiny_mllm.smolvlm(tmp_path / "model")
    chosen = project(PROFILE | {"model": str(folder), "lora": LORA}, IMAGES)
    explained = [{"image_id": f"i{row:02}", chosen.aspect: f"It is number {row}."} for row in range(IMAGES)]
    write_table(pd.DataFrame(explained), paths.captions(chosen.dataset))
    return chosen


def part_of(chosen, part: str) -> pd.Series:
    """Whether each image is of that part; tables are sorted alike."""
    return read_table(paths.splits(chosen.dataset))["split"] == part


def rate_backwards(chosen, part: str) -> None:
    samples, rows = read_table(paths.samples(chosen.dataset)), part_of(chosen, part)
    samples.loc[rows, f"mos_{chosen.aspect}"] = 5 - samples.loc[rows, f"mos_{chosen.aspect}"]
    write_table(samples, paths.samples(chosen.dataset))


def explain_otherwise(chosen, part: str) -> None:
    captions = read_table(paths.captions(chosen.dataset))
    captions.loc[part_of(chosen, part), chosen.aspect] = "It falls apart, in every way that there is."
    write_table(captions, paths.captions(chosen.dataset))


def show_otherwise(chosen, part: str) -> None:
    samples, rows = read_table(paths.samples(chosen.dataset)), part_of(chosen, part)
    for row in np.flatnonzero(rows).tolist():
        picture(100 + row, 40, 40).save(paths.raw(chosen.dataset) / samples.loc[row, "path"])
    samples.loc[rows, ["sha256", "prompt"]] = "another"
    write_table(samples, paths.samples(chosen.dataset))


def learnt(stage, chosen) -> tuple[dict[str, bytes], pd.DataFrame]:
    """What the stage leaves of its learning, from the beginning, and its curve."""
    shutil.rmtree(".cache", ignore_errors=True)
    stage.main(chosen)
    where, curve = {distill: (paths.adapter, "distill.csv"), train: (paths.head, "head.csv")}[stage]
    files = where(chosen.dataset, chosen.aspect).iterdir()
    return {path.name: path.read_bytes() for path in files}, pd.read_csv(Path("results/training") / curve)


def test_test_images_teach_the_student_nothing(chosen):
    before, curve = learnt(distill, chosen)
    for change in (rate_backwards, explain_otherwise, show_otherwise):
        change(chosen, "test")
    after, same_curve = learnt(distill, chosen)
    assert after == before
    pd.testing.assert_frame_equal(same_curve, curve)


def test_val_images_teach_the_student_nothing(chosen):
    _, curve = learnt(distill, chosen)
    for change in (rate_backwards, explain_otherwise, show_otherwise):
        change(chosen, "val")
    _, other = learnt(distill, chosen)
    pd.testing.assert_series_equal(other["train_loss"], curve["train_loss"])
    assert other["val_loss"].iloc[-1] != curve["val_loss"].iloc[-1]


@pytest.fixture
def read(chosen):
    """The same, with the hidden states of every image."""
    describe.main(chosen)
    features.main(chosen)
    return chosen


def test_test_images_teach_the_head_nothing(read):
    before, curve = learnt(train, read)
    rate_backwards(read, "test")
    after, same_curve = learnt(train, read)
    assert after == before
    pd.testing.assert_frame_equal(same_curve, curve)


def test_val_images_teach_the_head_nothing(read):
    _, curve = learnt(train, read)
    rate_backwards(read, "val")
    _, other = learnt(train, read)
    pd.testing.assert_series_equal(other["train_loss"], curve["train_loss"])
    assert (other["val_loss"] != curve["val_loss"]).all()
