"""The trained pipeline as a tool, on what the pipeline itself trained and scored."""

import json
import shutil

import pandas as pd
import pytest

from data.feature_store.said import read_said
from data.tables.frames import read_table
from m3agiqa.card import read_card

HERE = "--dataset", "synthetic"


@pytest.fixture(scope="module")
def project(reproduced, tmp_path_factory):
    """The small run with a head that has learned something: a head of two epochs says nearly the mean of everything."""
    project = reproduced.copy(tmp_path_factory.mktemp("predict") / "project")
    project.set_params(**{"train.epochs": 20, "train.lr": 0.01})
    project.dvc("repro")
    project.commit("trained longer")
    return project


@pytest.fixture(scope="module")
def asked(project):
    """The test images, as a user would ask for them."""
    samples = read_table(project.path / "data/raw/synthetic/samples.parquet").set_index("image_id")
    expected = pd.read_csv(project.path / "results/predictions.csv").set_index("image_id")
    rows = samples.loc[expected.index]
    table = project.path / "asked.csv"
    table.write_text(
        pd.DataFrame({"image": "data/raw/synthetic/" + rows["path"], "prompt": rows["prompt"]}).to_csv(index=False)
    )
    return expected


def scores(project, *arguments):
    project.run("python", "-m", "m3agiqa", "predict", "--unfamiliar", *arguments)
    return pd.read_csv(project.path / "predictions/scores.csv")


def test_the_test_images_get_evaluates_predictions(project, asked):
    found = scores(project, "--table", "asked.csv", *HERE, "--aspect", "quality")
    assert list(found["status"]) == ["ok"] * len(asked)
    assert asked["predicted"].std() > 0.1
    assert found["score"].to_numpy() == pytest.approx(asked["predicted"].to_numpy(), abs=1e-4)
    told = read_card(project.path / "models/cards/synthetic-quality.json").word_tells  # a student as small may not
    assert list(found["word"]) == list(asked["word"]) if told else found["word"].isna().all()
    data = project.path / "data"
    said = read_said(data / "descriptions/synthetic-quality.parquet", data / "features/synthetic-quality")
    assert list(found["description"].fillna("")) == list(said.set_index("image_id").loc[asked.index, "description"])

    figures = project.evaluation()
    covered = asked["mos"].between(found["low"].to_numpy(), found["high"].to_numpy()).mean()
    assert covered == pytest.approx(figures["interval"]["coverage"])


def test_a_bundle_scores_the_same_in_a_clone_without_data(project, asked, tmp_path):
    here = scores(project, "--table", "asked.csv", *HERE)
    project.run("python", "-m", "m3agiqa", "bundle")
    clone = type(project)(tmp_path / "clone")
    project.run("git", "clone", "--quiet", str(project.path), str(clone.path))
    assert not (clone.path / "models/heads").exists()
    shutil.copytree(project.path / "data/raw/synthetic/images", clone.path / "data/raw/synthetic/images")
    shutil.copy(project.path / "asked.csv", clone.path)
    there = scores(clone, "--table", "asked.csv", "--bundle", str(project.path / "bundle"))
    pd.testing.assert_frame_equal(here, there)

    said = clone.run("python", "-m", "m3agiqa", "predict", "--table", "asked.csv", *HERE, check=False)
    assert said.returncode == 2
    assert said.stderr == "predict: nothing is trained here: run dvc repro in a clone of the project\n"


def test_another_aspects_absence_is_said_with_what_to_run(project, asked):
    said = project.run("python", "-m", "m3agiqa", "predict", "--table", "asked.csv", *HERE).stderr
    assert "authenticity is left out: make judge trains authenticity and the others" in said
    said = project.run(
        "python", "-m", "m3agiqa", "predict", "--table", "asked.csv", *HERE, "--aspect", "authenticity", check=False
    )
    assert said.returncode == 2
    assert "no authenticity in this clone (only quality): make judge trains authenticity and the others" in said.stderr


def test_dvc_knows_the_parts_as_artifacts(project, tmp_path):
    out = tmp_path / "card.json"
    project.run("git", "tag", "--annotate", "--message", "first", "card@v1.0.0")  # as gto registers it
    project.dvc("artifacts", "get", str(project.path), "card", "--out", str(out))
    assert json.loads(out.read_text())["aspect"] == "quality"


def test_a_head_of_another_run_is_refused(project, asked, tmp_path):
    copy = project.copy(tmp_path / "project")
    path = copy.path / "models/heads/synthetic-quality/head.json"
    path.write_text(path.read_text() + "\n")
    said = copy.run("python", "-m", "m3agiqa", "predict", "--table", "asked.csv", *HERE, check=False)
    assert said.returncode == 2
    assert "another head than the card's" in said.stderr
