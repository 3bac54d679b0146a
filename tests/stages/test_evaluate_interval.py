"""evaluate on a made-up data set: where interval and ceiling come from, and whom the model is compared with."""

import numpy as np
import pytest
import torch

from data.feature_store.said import read_said
from data.feature_store.store import FeatureStore
from data.tables.frames import read_table, write_table
from evaluation.predictions import predict
from m3agiqa.files import read_json
from m3agiqa.head.model import load_head
from m3agiqa.mllm.conversation import RATING_WORDS
from pipeline import paths
from stages import evaluate
from tests.evaluated import build, read


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)


def errors(chosen, part: str) -> np.ndarray:
    """How far off the head is on each image of a part."""
    split, mos = read_table(paths.splits(chosen.dataset)), read_table(paths.samples(chosen.dataset))
    rows = split["split"] == part
    head = load_head(paths.head(chosen.dataset, chosen.aspect))
    store = FeatureStore.open(paths.features(chosen.dataset, chosen.aspect))
    scores = predict(head, store, list(split.loc[rows, "image_id"]))
    return np.abs(scores.to_numpy() - mos.loc[rows, f"mos_{chosen.aspect}"].to_numpy())


def test_the_interval_is_as_wide_as_the_errors_on_val_and_counted_on_the_test_images():
    chosen = build(prompt="")  # each image is a group of its own: 24 of val
    evaluate.main(chosen)
    interval = read_json(paths.EVALUATION)["interval"]
    half = np.sqrt(np.prod(np.sort(errors(chosen, "val"))[21:23]))  # 0.9 of 24 + 1 is between the 22nd and the 23rd
    assert interval["half_width"] == pytest.approx(half, abs=1e-6)
    assert interval["coverage"] == pytest.approx(np.mean(errors(chosen, "test") <= half), abs=1e-6)
    assert half < errors(chosen, "val").max()


def test_the_rival_is_the_best_on_val_however_it_does_on_the_test_images():
    """The student's word is right on val, and backwards on the test images."""
    chosen = build()
    samples = read_table(paths.samples(chosen.dataset))
    part = read_table(paths.splits(chosen.dataset))["split"]
    store, of = paths.features(chosen.dataset, chosen.aspect), paths.of_dataset(chosen.dataset, chosen.aspect)
    said = read_said(of.descriptions, store)
    levels = said["word"].map(RATING_WORDS.index)
    samples.loc[part == "val", f"mos_{chosen.aspect}"] = levels[part == "val"] + 0.5
    said.loc[part == "test", "word"] = [RATING_WORDS[4 - level] for level in levels[part == "test"]]
    write_table(samples, paths.samples(chosen.dataset))
    ids, states = zip(*FeatureStore.open(store).rows(), strict=True)
    assert list(ids) == list(said["image_id"])
    read(chosen, ids, states, said["word"])
    evaluate.main(chosen)
    figures = read_json(paths.EVALUATION)
    assert figures["gain"]["over"] == "student_word"
    assert figures["baselines"]["student_word"]["srcc"] < -0.9
    assert figures["gain"]["srcc"] > 1.8


def test_the_ceiling_comes_from_the_raters_spread_unless_the_mos_were_standardised(caplog):
    chosen = build()
    samples = read_table(paths.samples(chosen.dataset))
    write_table(samples.assign(**{f"std_{chosen.aspect}": 0.5}), paths.samples(chosen.dataset))
    evaluate.main(chosen)
    ceiling = read_json(paths.EVALUATION)["ceiling"]
    assert 0.9 < ceiling["srcc_from_spread"] < 1
    standardised = chosen.datasets | {chosen.dataset: chosen.datasets["agiqa-3k"]}
    evaluate.main(chosen.model_copy(update={"datasets": standardised}))
    assert read_json(paths.EVALUATION)["ceiling"] == ceiling | {"srcc_from_spread": None, "plcc_from_spread": None}
    assert "ceiling: null, the raters' standard deviation" in caplog.text
