"""The whole DAG, as its users run it: real DVC on a small copy of the project."""

import pandas as pd
from conftest import STAGES, new_project

from data.feature_store import FeatureStore
from data.tables import read_table


def test_every_stage_wrote_what_the_design_promises(reproduced):
    assert tuple(reproduced.lock()) == STAGES
    root = reproduced.path
    samples = read_table(root / "data/raw/synthetic/samples.parquet").set_index("image_id")
    described = read_table(root / "data/descriptions/synthetic-quality.parquet").set_index("image_id")
    assert sorted(described.index) == sorted(samples.index)
    assert sorted(FeatureStore.open(root / "data/features/synthetic-quality").ids) == sorted(samples.index)
    assert {"srcc", "srcc_ci", "plcc", "krcc", "rmse", "baselines", "ceiling", "n"} <= set(reproduced.metrics())


def test_no_test_image_reaches_a_training_stage(reproduced):
    root = reproduced.path
    splits = read_table(root / "data/splits/synthetic.parquet").set_index("image_id")["split"]
    test = set(splits.index[splits == "test"])
    assert not test & set(read_table(root / "data/captions/synthetic.parquet")["image_id"])
    predictions = pd.read_csv(root / "results/predictions.csv")
    assert set(predictions["image_id"]) == test
    prompts = read_table(root / "data/raw/synthetic/samples.parquet").set_index("image_id")["prompt"]
    assert not set(prompts[list(test)]) & set(prompts[splits.index[splits != "test"]])


def test_a_second_repro_runs_nothing(reproduced, tmp_path):
    project = reproduced.copy(tmp_path / "project")
    assert "Running stage" not in (said := project.dvc("repro").stdout)
    assert "up to date" in said


def test_a_clean_run_elsewhere_gives_the_same_bytes(reproduced, tmp_path):
    elsewhere = new_project(tmp_path / "elsewhere")
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
    assert "Running stage" not in second.dvc("repro").stdout
    assert second.run("git", "status", "--porcelain").stdout == ""
    assert second.metrics() == first.metrics()


def test_switching_the_aspect_pays_no_teacher_and_switching_back_runs_nothing(reproduced, tmp_path):
    project = reproduced.copy(tmp_path / "project")
    for aspect in ("correspondence", "authenticity"):
        said = project.dvc("exp", "run", "--name", aspect, "-S", f"aspect={aspect}").stdout
        assert [stage for stage in STAGES if f"Running stage '{stage}'" in said] == list(STAGES[3:])
        assert project.metrics()["aspect"] == aspect

    shown = project.dvc("exp", "show", "--csv").stdout
    assert "correspondence" in shown
    assert "authenticity" in shown
    difference = project.dvc("metrics", "diff", "correspondence", "authenticity").stdout
    assert "srcc" in difference
    assert "srcc" in project.dvc("metrics", "show").stdout

    said = project.dvc("exp", "run", "-S", "aspect=quality").stdout
    assert "Running stage" not in said
    assert project.metrics() == reproduced.metrics()


def test_plots_show_a_page_with_every_plot(reproduced, tmp_path):
    page = tmp_path / "plots"
    reproduced.dvc("plots", "show", "--out", str(page))
    shown = (page / "index.html").read_text()
    titles = ["Predicted against human MOS", "Distillation", "Head", "Residuals", "Rating words"]
    assert [title for title in titles if title not in shown] == []
