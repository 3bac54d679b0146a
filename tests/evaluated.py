"""A made-up data set as evaluate finds it: 96 images, hidden states with the MOS in them, a real head and store."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from data.feature_store.writer import FeatureWriter
from data.tables.frames import write_table
from evaluation.captions import measured
from m3agiqa.files import write_json
from m3agiqa.head.model import build_head, save_head
from m3agiqa.mllm.conversation import word_of
from pipeline import paths, settings
from tests.stored import stored
from tests.tiny_mllm import middle

IMAGES, DIM = 96, 8
MADE_ON = {"device": "cpu", "dtype": "float32", "batch": 32, "processes": 1}


def build(prompt: str = "two red balls", generator: str = "g{}") -> settings.Settings:
    """Write every input of the stage below the working folder."""
    chosen = settings.load(Path(__file__).parents[1] / "params.yaml")
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
        "pixels": ids,
        f"mos_{aspect}": mos,
    }
    write_table(pd.DataFrame({"image_id": ids, **columns}), paths.samples(dataset))
    write_table(pd.DataFrame({"image_id": ids, f"truth_{aspect}": truth}), paths.raw(dataset) / "truth.parquet")
    splits = [("train", "train", "val", "test")[row // 4 % 4] for row in range(IMAGES)]
    write_table(pd.DataFrame({"image_id": ids, "split": splits}), paths.splits(dataset))
    words = [word_of(score) for score in truth]
    written = pd.DataFrame({"image_id": ids, "description": [f"it looks {word}" for word in words]})
    write_table(written.assign(cut_off=[row < 1 for row in range(IMAGES)]), paths.descriptions(dataset, aspect))
    seen = [part != "test" for part in splits]
    write_captions(dataset, pd.DataFrame({"image_id": ids, aspect: [f"All in all {word}." for word in words]})[seen])
    write_json(
        paths.adapter(dataset, aspect) / "distill.json", {"shortened": {"train": 1, "val": 0}, "made_on": MADE_ON}
    )
    for path in (
        paths.of_dataset(dataset, aspect).descriptions_made_on,
        paths.of_dataset(dataset, aspect).features_made_on,
    ):
        write_json(path, MADE_ON)

    states = [torch.randn(5 + row % 3, DIM) * 0.2 for row in range(IMAGES)]
    for each, score in zip(states, truth, strict=True):
        each[:, 0] += score
    read(chosen, ids, states, words)
    for head in (paths.head, paths.fast_head):
        save_head(_head_that_is_right(), head(dataset, aspect))
        write_json(paths.head_made_on(head(dataset, aspect)), {"device": "cpu"})
    return chosen


def write_captions(dataset: str, said: pd.DataFrame, **summary: Any) -> None:
    """What the stage caption leaves: explanations of each aspect by image_id, and a summary of them."""
    write_table(said.assign(teacher="offline"), paths.captions(dataset))
    described = {"dataset": dataset, "teacher": "offline", "images": len(said), "described": len(said)}
    refused = {"failures": {}, "explanations_refused": {}, "explanations_that_repeat_the_score": 0}
    found = {"saw_scores": True, "aspects": measured(dataset)}
    write_json(paths.RESULTS / "caption.json", described | refused | found | summary)


def read(chosen: settings.Settings, ids: list[str], states: list[torch.Tensor], words: list[str]) -> None:
    """Write the feature store, the expected words nearly as the words are.

    Three images were taken in fewer views, and of two descriptions only "it" was read.
    """
    writer = FeatureWriter(paths.features(chosen.dataset, chosen.aspect), {"mllm": "made up"}, ids, shard_images=IMAGES)
    rows = (
        stored(image_id, each, 3, 4)._replace(
            word=word, expected=expected(word, row), fewer_views=row < 3, kept="it" if row < 2 else None
        )
        for row, (image_id, each, word) in enumerate(zip(ids, states, words, strict=True))
    )
    (part,) = writer.parts
    writer.write(part, rows)


def expected(word: str, row: int) -> float:
    """What the store holds as the five words' mean: it orders as the word does, and is another number."""
    return middle(word) + 0.1 * (row % 3)


def _head_that_is_right():
    """A head that reads the MOS off the first dimension's mean, through one hidden unit; the others are silent."""
    head = build_head("mlp", DIM, seed=0)
    with torch.no_grad():
        for weight in head.parameters():
            weight.zero_()
        head.shortcut[1].weight[0, 0] = 1
        head.regressor[0].weight[0, 0] = 1
        head.regressor[3].weight[0, 0] = 1
    return head
