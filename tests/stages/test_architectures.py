"""distill, describe, features and train on a tiny random instance of each architecture with a profile in params.yaml.

The profile is the checked-in one; only the weights' place, their type and the lengths are the tiny ones'.
"""

from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import logging

from analyzers.conversation import RATING_WORDS, conversation
from analyzers.mllm import LocalMLLM
from data.feature_store import FeatureStore
from data.images import load_image
from data.tables import read_table, write_table
from finetune.heads import load_head
from stages import describe, distill, features, paths, settings, train
from tests import tiny_minicpm, tiny_mllm
from tests.tiny_mllm import picture

logging.disable_progress_bar()

MODELS = {
    "smolvlm-256m": tiny_mllm.idefics3,
    "qwen3-vl-2b": tiny_mllm.qwen3_vl,
    "minicpm-v-4_6": tiny_mllm.minicpm_v_4_6,
    "minicpm-llama3-v-2_5": tiny_minicpm.minicpm,
}
SIZES = [(32, 32), (40, 24), (64, 16), (64, 64)] * 2
IDS = [f"i{row}" for row in range(len(SIZES))]
PROMPTS = [f"{row} cats" for row in range(len(SIZES))]
SPLITS = ["train"] * 5 + ["val"] * 3


def project(profile: dict, **changes) -> settings.Settings:
    """Every input of distill below the working folder, and the settings."""
    checked_in = settings.load(Path(__file__).parents[2] / "params.yaml")
    values = checked_in.model_dump() | {"mllm": "tried", "teacher": "offline", "mllms": {"tried": profile}}
    values |= {"teachers": {"offline": {"kind": "offline"}}}
    values["distill"] |= {"epochs": 1, "batch": 4, "lr": 1e-3}
    values["heads"]["xlstm"] |= {"dim": 16, "hidden": 16}
    values["train"] |= {"epochs": 2, "batch": 4}
    values |= changes
    chosen = settings.Settings.model_validate(values)
    (paths.raw(chosen.dataset) / "images").mkdir(parents=True)
    for row, (image_id, size) in enumerate(zip(IDS, SIZES, strict=True)):
        picture(row, *size).save(paths.raw(chosen.dataset) / "images" / f"{image_id}.png")
    samples = pd.DataFrame({"image_id": IDS, "path": [f"images/{name}.png" for name in IDS], "prompt": PROMPTS})
    samples = samples.assign(sha256=IDS, **{f"mos_{chosen.aspect}": [row / 2 for row in range(len(IDS))]})
    write_table(samples, paths.samples(chosen.dataset))
    write_table(pd.DataFrame({"image_id": IDS, "split": SPLITS}), paths.splits(chosen.dataset))
    said = [f"It is{' very' * row} good. It is sharp." for row in range(len(IDS))]
    write_table(pd.DataFrame({"image_id": IDS, chosen.aspect: said}), paths.captions(chosen.dataset))
    return chosen


@pytest.mark.parametrize("name", MODELS)
def test_one_path_for_every_architecture(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder = MODELS[name](tmp_path / "model")
    profile = settings.load(Path(__file__).parents[2] / "params.yaml").mllms[name].model_dump()
    tiny = {"model": str(folder), "revision": None, "dtype": "float32", "max_length": 400, "max_new_tokens": 8}
    chosen = project(profile | tiny)
    for stage in (distill, describe, features, train):
        stage.main(chosen)

    aspect = chosen.aspect
    written = read_table(paths.descriptions(chosen.dataset, aspect)).set_index("image_id")
    store = FeatureStore.open(paths.features(chosen.dataset, aspect))
    bare = LocalMLLM.load(str(folder), revision=None, dtype="float32", max_length=400, device="cpu")
    student = LocalMLLM.load(
        str(folder),
        revision=None,
        dtype="float32",
        max_length=400,
        device="cpu",
        adapter=paths.adapter(chosen.dataset, aspect),
    )
    moved = []
    for image_id, prompt in zip(IDS, PROMPTS, strict=True):  # each alone: the stages had them in batches
        image = load_image(paths.raw(chosen.dataset) / "images" / f"{image_id}.png")
        assert student.describe([image], [conversation(aspect, prompt)], 8) == [written.loc[image_id, "description"]]
        read = [image], [conversation(aspect, prompt, written.loc[image_id, "description"])]
        (reading,), (before,) = student.read(*read), bare.read(*read)
        assert reading.word == written.loc[image_id, "word"]
        torch.testing.assert_close(store[image_id], reading.states, atol=1e-4, rtol=1e-4)
        assert store.description(image_id) == reading.description
        moved.append(not torch.allclose(before.states, reading.states, atol=1e-5))
    assert all(moved)  # the adapter has an effect
    assert set(written["word"]) <= set(RATING_WORDS)
    assert not written["fewer_views"].any()
    assert not written["shortened"].any()
    head = load_head(paths.head(chosen.dataset, aspect))
    assert all(torch.isfinite(value).all() for value in head.state_dict().values())
