"""evaluate on a made-up data set."""

import csv
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from m3agiqa.mllm.conversation import RATING_WORDS
from pipeline import paths
from stages import evaluate
from tests.evaluated import MADE_ON, build


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return tmp_path


def written(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "results").rglob("*")) if path.is_file()}


def test_figures_and_tables(workplace):
    evaluate.main(build())
    figures = json.loads((workplace / "results/evaluation.json").read_text())
    assert (figures["n"], figures["n_train"], figures["n_val"]) == (24, 48, 24)
    assert figures["srcc_ci"][0] <= figures["srcc"] <= figures["srcc_ci"][1]
    assert figures["srcc"] > 0.9
    assert figures["srcc_of_ceiling"] == pytest.approx(figures["srcc"] / figures["ceiling"]["srcc"], abs=1e-5)
    assert figures["word_within_one"] == 1
    for name in ("srcc", "plcc", "krcc", "rmse", "srcc_within_generator"):
        low, high = figures[f"{name}_ci"]
        assert low <= figures[name] <= high
    given = {"srcc", "srcc_ci", "plcc", "krcc", "rmse", "pairs_within_prompt", "best_of_prompt"}
    given |= {"srcc_within_generator"}
    assert figures["baselines"].pop("generator_prompt_mean") is None  # the split shares no prompt
    assert all(given == set(found) for found in figures["baselines"].values())
    assert figures["choosing"] == {"prompts": 6, "chance": 0.25}
    assert figures["best_of_prompt"] > 0.25
    assert figures["preference"]["within_prompts"] is figures["preference"]["on_test"]["within_prompts"] is False
    assert figures["preference"]["on_test"]["pairs"] == 24 * 23 / 2  # the 36 of one prompt are too few
    assert set(figures["fast"]) == {*given, "interval", "preference", "gain"}
    assert figures["fast"]["gain"]["srcc"] == pytest.approx(figures["fast"]["srcc"] - figures["srcc"], abs=1e-5)
    assert figures["fast"]["srcc"] > 0.9  # the same head, on the states before the description
    assert figures["fast"]["rmse"] != figures["rmse"]
    assert (figures["on"], figures["cross"], figures["prompts_seen"]) == ("synthetic", False, 0)
    assert figures["original_scale"] == {"lowest": 0, "highest": 5, "rmse": figures["rmse"]}
    assert (figures["n_fewer_views"], figures["n_shortened"], figures["n_cut_off"]) == (3, 2, 1)
    assert figures["n_taught_shortened"] == {"train": 1, "val": 0}
    ran = dict.fromkeys(("distill", "describe", "features"), MADE_ON)
    assert figures["made_on"] == {**ran, "train": {"device": "cpu"}, "train_fast": {"device": "cpu"}}
    assert figures["interval"] == {"level": 0.9, "half_width": None, "coverage": 1}  # 6 val prompts are too few
    assert figures["gain"]["srcc"] == pytest.approx(
        figures["srcc"] - figures["baselines"][figures["gain"]["over"]]["srcc"], abs=1e-5
    )

    headline = json.loads((workplace / "results/metrics.json").read_text())
    assert len(headline) <= 15
    assert not [value for value in headline.values() if isinstance(value, dict | list)]
    assert headline["srcc"] == pytest.approx(figures["srcc"], abs=1e-4)
    assert [headline["srcc_low"], headline["srcc_high"]] == pytest.approx(figures["srcc_ci"], abs=1e-4)
    assert headline["pairs"] == pytest.approx(figures["pairs_within_prompt"], abs=1e-4)
    assert headline["gain"] == pytest.approx(headline["srcc"] - headline["baseline"], abs=2e-4)

    predictions = pd.read_csv(workplace / "results/predictions.csv")
    header = "image_id generator prompt mos predicted fitted residual word_mos word"
    assert list(predictions.columns) == header.split()
    assert len(predictions) == 24
    np.testing.assert_allclose(predictions["residual"], predictions["mos"] - predictions["predicted"], atol=2e-6)
    assert set(predictions["word_mos"]) <= set(RATING_WORDS)
    drawn = pd.read_csv(workplace / "results/plots/baselines.csv")
    assert drawn["predictor"].iloc[0] == "this model"
    assert drawn["srcc"].iloc[1:].is_monotonic_decreasing


def test_two_runs_write_the_same_bytes(workplace):
    chosen = build()
    evaluate.main(chosen)
    first = written(workplace)
    evaluate.main(chosen)
    assert written(workplace) == first


def test_no_prompt_no_generator_no_truth_is_null(workplace, caplog):
    chosen = build(prompt="", generator="")
    (paths.raw(chosen.dataset) / "truth.parquet").unlink()
    evaluate.main(chosen)
    figures = json.loads((workplace / "results/evaluation.json").read_text())
    for name in ("generator_mean", "tfidf_prompt_generator"):
        assert figures["baselines"][name] is None
        assert f"baseline {name}: null" in caplog.text
    assert figures["ceiling"]["srcc"] is figures["srcc_of_ceiling"] is figures["srcc_within_generator"] is None
    assert math.isfinite(figures["srcc"])


def test_a_prompt_cannot_end_the_script_that_dvc_pastes_it_into(workplace):
    evaluate.main(build(prompt='a "b",\n</script><img src=x> 1 < 2 <3'))
    with (workplace / "results/predictions.csv").open(encoding="utf-8", newline="") as file:
        prompt = next(csv.DictReader(file))["prompt"]
    assert prompt.startswith('a "b",\n< /script>< img src=x> 1 < 2 <3')
