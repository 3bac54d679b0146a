"""The whole DAG, as its users run it: real DVC on a small copy of the project."""

import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from data.feature_store.store import FeatureStore
from data.tables.frames import read_table
from tests import warm
from tests.small_project import STAGES, new_project, ran


def test_every_stage_wrote_what_the_design_promises(reproduced):
    assert tuple(reproduced.lock()) == STAGES
    root = reproduced.path
    samples = read_table(root / "data/raw/synthetic/samples.parquet").set_index("image_id")
    described = read_table(root / "data/descriptions/synthetic-quality.parquet").set_index("image_id")
    assert sorted(described.index) == sorted(samples.index)
    assert sorted(FeatureStore.open(root / "data/features/synthetic-quality").ids) == sorted(samples.index)
    assert {"srcc", "srcc_ci", "plcc", "krcc", "rmse", "baselines", "ceiling", "n"} <= set(reproduced.evaluation())
    ceiling = reproduced.evaluation()["ceiling"]
    assert ceiling["srcc_from_spread"] == pytest.approx(ceiling["srcc"], abs=0.03)  # two ways to know it
    assert json.loads((root / "data/cross/synthetic-quality/cross.json").read_text()) == {"on": None}
    assert "<h1>Quality on synthetic</h1>" in (root / "results/report.html").read_text(encoding="utf-8")


def test_no_test_image_reaches_a_training_stage(reproduced):
    root = reproduced.path
    splits = read_table(root / "data/splits/synthetic.parquet").set_index("image_id")["split"]
    test = set(splits.index[splits == "test"])
    assert not test & set(read_table(root / "data/captions/synthetic.parquet")["image_id"])
    predictions = pd.read_csv(root / "results/predictions.csv")
    assert set(predictions["image_id"]) == test
    samples = read_table(root / "data/raw/synthetic/samples.parquet").set_index("image_id")
    prompts = samples["prompt"]
    assert not set(prompts[list(test)]) & set(prompts[splits.index[splits != "test"]])

    train = splits.index[splits == "train"]
    steps = pd.read_csv(root / "results/training/distill.csv")["step"].max()
    assert steps == -(-len(train) // 8)  # one epoch in batches of eight
    head = load_file(root / "models/heads/synthetic-quality/head.safetensors")
    assert head["mos_mean"].item() == pytest.approx(samples.loc[train, "mos_quality"].mean())
    store = FeatureStore.open(root / "data/features/synthetic-quality")
    states = torch.cat([store[image_id].double() for image_id in train])
    torch.testing.assert_close(head["token_mean"].double(), states.mean(dim=0), atol=1e-5, rtol=1e-5)


def test_a_second_repro_runs_nothing(reproduced, tmp_path):
    project = reproduced.copy(tmp_path / "project")
    said = project.dvc("repro")
    assert "Running stage 'source'" in said.stdout
    assert not ran(said)
    assert project.lock() == reproduced.lock()


def test_a_clean_run_elsewhere_gives_the_same_bytes(reproduced, tmp_path):
    with warm.programs() as others:  # whose Python orders its sets in another way
        elsewhere = new_project(tmp_path / "elsewhere", others)
        elsewhere.dvc("repro")
    outs = {name: stage["outs"] for name, stage in reproduced.lock().items()}
    assert {name: stage["outs"] for name, stage in elsewhere.lock().items()} == outs


def test_what_was_pushed_is_pulled_and_nothing_has_to_run(reproduced, tmp_path):
    first = reproduced.copy(tmp_path / "first")
    first.dvc("remote", "add", "--default", "storage", str(tmp_path / "remote"))
    first.dvc("push")
    first.commit("remote")
    first.run("git", "clone", "--quiet", str(first.path), str(tmp_path / "second"))
    second = type(first)(tmp_path / "second")
    second.dvc("pull")
    assert not ran(second.dvc("repro"))
    assert second.run("git", "status", "--porcelain").stdout == ""
    assert second.metrics() == first.metrics()


def test_plots_show_a_page_with_every_plot(reproduced, tmp_path):
    page = tmp_path / "plots"
    reproduced.dvc("plots", "show", "--out", str(page))
    shown = (page / "index.html").read_text()
    titles = ["Predicted against human MOS", "Distillation", "Head", "Residuals", "Rating words"]
    assert [title for title in titles if title not in shown] == []
