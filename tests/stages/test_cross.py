"""Train on one data set, be tested on another: the stage cross with the real `tiny`, and evaluate after it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from data.feature_store.store import FeatureStore
from data.tables.frames import read_table, write_table
from m3agiqa.files import write_json
from pipeline import paths, processes, settings
from stages import cross, evaluate, report, source
from tests import forks
from tests.evaluated import MADE_ON, build

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    torch.manual_seed(0)
    return tmp_path


def settings_with(**changes: object) -> settings.Settings:
    values = YAML(typ="safe").load(ROOT / "params.yaml")
    values["datasets"]["folder"] |= {"source": "mine", "scale": [1, 5]}
    values["mllms"]["tiny"] |= {"model": str(ROOT / "models/tiny"), "max_new_tokens": 4}
    values["runtime"] |= {"batch": 6, "device": "cpu"}
    values["evaluate"] |= {"bootstrap": 50} | changes
    YAML().dump(values, Path("params.yaml"))
    return settings.load()


def test_the_other_data_sets_test_images_go_through_the_student(workplace, monkeypatch):
    (workplace / "mine/images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(48):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(workplace / f"mine/images/{number}.png")
    rows = [f"{number}.png,prompt {number // 2},{1 + number % 5}" for number in range(48)]
    (workplace / "mine/data.csv").write_text("\n".join(["name,prompt,mos_quality", *rows]) + "\n")

    run = settings_with(on="folder")
    source.main(run)
    cross.main(run)
    place = paths.of_cross(run.dataset, run.aspect)
    samples = read_table(place.raw / "samples.parquet").set_index("image_id")
    assert len(samples) == 12  # a quarter
    assert sorted(path.name for path in (place.raw / "images").iterdir()) == sorted(
        f"{name}.png" for name in samples.index
    )
    assert samples.loc[samples.index[0], "mos_quality"] == pytest.approx(int(samples.index[0]) % 5 * 1.25)  # 1-5 to 0-5
    assert set(read_table(place.splits)["split"]) == {"test"}
    assert sorted(read_table(place.descriptions)["image_id"]) == sorted(samples.index)
    assert sorted(FeatureStore.open(place.features).ids) == sorted(samples.index)
    about = {"on": "folder", "scale": [1, 5], "raters": None, "averaged": True}
    assert json.loads((place.raw / "cross.json").read_text()) == about

    made_on = [place.descriptions_made_on, place.features_made_on]
    assert [json.loads(path.read_text()) for path in made_on] == [
        {"device": "cpu", "dtype": "float32", "batch": 6, "processes": 1}
    ] * 2
    written = [path for path in sorted(place.raw.rglob("*")) if path.is_file() and path not in made_on]
    alone = {path: path.read_bytes() for path in written}
    shutil.rmtree(".cache")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(torch.multiprocessing, "spawn", forks.spawn)
    processes.launch("stages.cross", 2)
    assert {path: path.read_bytes() for path in written} == alone
    assert [json.loads(path.read_text())["processes"] for path in made_on] == [2, 2]
    assert len(list(Path(".cache/describe").glob("*/journal*.jsonl"))) == 2  # both had a share

    run = settings_with(on=None)
    source.main(run)
    cross.main(run)
    assert [path.name for path in place.raw.iterdir()] == ["cross.json"]


def test_figures_are_marked_and_learnt_at_home(workplace):
    """The others are our own images with every MOS turned round: what was learnt must rank them backwards."""
    build()
    run = settings_with(on="folder")
    own, other = paths.of_dataset(run.dataset, run.aspect), paths.of_cross(run.dataset, run.aspect)
    shutil.copytree(own.raw, other.raw)
    shutil.copytree(own.features, other.features)
    shutil.copy(own.descriptions, other.descriptions)
    samples = read_table(own.raw / "samples.parquet")
    write_table(samples.assign(mos_quality=5 - samples["mos_quality"]), other.raw / "samples.parquet")
    parts = read_table(own.splits)
    write_table(parts[parts["split"] == "test"].assign(split="test"), other.splits)
    inside = samples["image_id"].isin(parts.loc[parts["split"] == "test", "image_id"])
    write_table(read_table(other.raw / "samples.parquet")[inside], other.raw / "samples.parquet")
    write_json(other.raw / "cross.json", {"on": "folder", "scale": [1, 5], "raters": 9, "averaged": False})
    shutil.copy(own.features_made_on, other.features_made_on)

    evaluate.main(run)
    figures = json.loads((paths.EVALUATION).read_text())
    assert (figures["dataset"], figures["on"], figures["cross"]) == ("synthetic", "folder", True)
    assert (figures["n"], figures["n_train"], figures["n_val"]) == (24, 48, 24)
    assert figures["made_on"]["cross"] == MADE_ON
    assert figures["ceiling"]["srcc_from_spread"] is None
    assert figures["srcc"] < -0.9
    assert figures["baselines"]["mean_hidden_states"]["srcc"] < -0.9
    assert figures["original_scale"]["rmse"] == pytest.approx(figures["rmse"] * 4 / 5, abs=1e-5)
    assert len(pd.read_csv(paths.RESULTS / "predictions.csv")) == 24
    report.main(run)
    page = (paths.RESULTS / "report.html").read_text(encoding="utf-8")
    assert "Cross data set: everything was learnt on synthetic, and tested on folder." in page
    assert "on the raters' own scale, 1 to 5" in page


@pytest.mark.parametrize("on", ["synthetic", "nonesuch"])
def test_on_must_be_another_data_set(workplace, on):
    with pytest.raises(
        settings.InputError, match=f"evaluate.on is '{on}', expected nothing or another data set: .*folder"
    ):
        settings_with(on=on)
