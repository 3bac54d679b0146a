"""evaluate on a made-up data set: 96 images, random hidden states with the MOS in them, a real head and store."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from analyzers.conversation import RATING_WORDS, word_of
from data.feature_store import FeatureWriter
from data.tables import write_table
from finetune.heads import build_head, save_head
from stages import evaluate, paths, settings

IMAGES, DIM = 96, 8


def build(prompt: str = "two red balls", generator: str = "g{}") -> settings.Settings:
    """Write every input of the stage below the working folder."""
    chosen = settings.load(Path(__file__).parents[2] / "params.yaml")
    chosen = chosen.model_copy(update={"evaluate": chosen.evaluate.model_copy(update={"bootstrap": 100})})
    dataset, aspect = chosen.dataset, chosen.aspect
    rng = np.random.default_rng(3)
    ids = [f"i{row:03d}" for row in range(IMAGES)]
    truth = rng.uniform(0.5, 4.5, IMAGES)
    mos = np.clip(truth + rng.normal(0, 0.2, IMAGES), 0, 5)

    (paths.raw(dataset) / "images").mkdir(parents=True)
    for image_id, score in zip(ids, mos, strict=True):
        noise = rng.normal(0, 30 * (5 - score), (24, 24, 3)) + 128
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(paths.raw(dataset) / "images" / f"{image_id}.png")
    columns = {
        "path": [f"images/{image_id}.png" for image_id in ids],
        "prompt": [f"{prompt} {row // 4}" if prompt else "" for row in range(IMAGES)],
        "generator": [generator.format(row % 4) for row in range(IMAGES)],
        f"mos_{aspect}": mos,
    }
    write_table(pd.DataFrame({"image_id": ids, **columns}), paths.samples(dataset))
    write_table(pd.DataFrame({"image_id": ids, f"truth_{aspect}": truth}), paths.truth(dataset))
    splits = [("train", "train", "val", "test")[row // 4 % 4] for row in range(IMAGES)]
    write_table(pd.DataFrame({"image_id": ids, "split": splits}), paths.splits(dataset))
    words = [word_of(score) for score in truth]
    said = pd.DataFrame({"image_id": ids, "description": [f"it looks {word}" for word in words], "word": words})
    write_table(said, paths.descriptions(dataset, aspect))

    writer = FeatureWriter(paths.features(dataset, aspect), {"made": "up"}, ids)
    states = {image_id: torch.randn(5 + row % 3, DIM) * 0.2 for row, image_id in enumerate(ids)}
    for image_id, score in zip(ids, truth, strict=True):
        states[image_id][:, 0] += score
    for part in writer.missing():
        writer.write(part, ((image_id, states[image_id], (0, 1)) for image_id in part.image_ids))
    save_head(_head_that_is_right(), paths.head(dataset, aspect))
    return chosen


def _head_that_is_right():
    """A head that reads the MOS off the first dimension's mean, through one hidden unit; the others are silent."""
    head = build_head("mean_mlp", DIM, seed=0)
    with torch.no_grad():
        for weight in head.parameters():
            weight.zero_()
        head.shortcut[1].weight[0, 0] = 1
        head.regressor[0].weight[0, 0] = 1
        head.regressor[3].weight[0, 0] = 1
    return head


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return tmp_path


def written(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "results").rglob("*")) if path.is_file()}


def test_figures_and_tables(workplace):
    evaluate.main(build())
    figures = json.loads((workplace / "results/metrics.json").read_text())
    assert (figures["n"], figures["n_train"], figures["n_val"]) == (24, 48, 24)
    assert figures["srcc_ci"][0] <= figures["srcc"] <= figures["srcc_ci"][1]
    assert figures["srcc"] > 0.9
    assert figures["srcc_of_ceiling"] == pytest.approx(figures["srcc"] / figures["ceiling"]["srcc"], abs=1e-5)
    assert figures["word_within_one"] == 1
    assert figures["interval"] == {"level": 0.9, "half_width": None, "coverage": 1}  # 6 val prompts are too few
    assert all({"srcc", "srcc_ci", "plcc", "rmse"} == set(found) for found in figures["baselines"].values())
    assert figures["gain"]["srcc"] == pytest.approx(
        figures["srcc"] - figures["baselines"][figures["gain"]["over"]]["srcc"], abs=1e-5
    )

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
    paths.truth(chosen.dataset).unlink()
    evaluate.main(chosen)
    figures = json.loads((workplace / "results/metrics.json").read_text())
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
