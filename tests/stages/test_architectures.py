"""distill, describe, features and train on a tiny random instance of each architecture with a profile in params.yaml.

The profile is the checked-in one; only the weights' place, their type and the lengths are the tiny ones'.
"""

from pathlib import Path

import pytest
import torch
from transformers import logging

from data.feature_store.said import read_said
from data.feature_store.store import FeatureStore
from data.tables.frames import read_table
from m3agiqa.head.model import load_head
from m3agiqa.images import load_image
from m3agiqa.mllm.conversation import RATING_WORDS, conversation
from pipeline import paths, settings
from stages import describe, distill, features, train
from tests import tiny_minicpm, tiny_mllm
from tests.few_images import project
from tests.tiny_mllm import load, texts_of

logging.disable_progress_bar()

MODELS = {
    "smolvlm-256m": tiny_mllm.idefics3,
    "qwen3-vl-2b": tiny_mllm.qwen3_vl,
    "minicpm-v-4_6": tiny_mllm.minicpm_v_4_6,
    "minicpm-llama3-v-2_5": tiny_minicpm.minicpm,
}


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
    of = paths.of_dataset(chosen.dataset, aspect)
    said = read_said(of.descriptions, of.features).set_index("image_id")
    store = FeatureStore.open(of.features)
    bare = load(folder, max_length=400)
    student = load(folder, max_length=400, adapter=paths.adapter(chosen.dataset, aspect))
    moved = []
    samples = read_table(paths.samples(chosen.dataset))
    for image_id, prompt in zip(
        samples["image_id"], samples["prompt"], strict=True
    ):  # each alone: the stages had them in batches
        image = load_image(paths.raw(chosen.dataset) / "images" / f"{image_id}.png")
        assert texts_of(student, [image], [conversation(aspect, prompt)], 8) == [said.loc[image_id, "description"]]
        read = [image], [conversation(aspect, prompt, said.loc[image_id, "description"])]
        (reading,) = student.read_inputs(student.inputs(*read), vision=True)
        (before,) = bare.read(*read)
        assert reading.word == said.loc[image_id, "word"]
        torch.testing.assert_close(store[image_id], reading.states, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(store.vision(image_id), reading.vision, atol=1e-4, rtol=1e-4)
        assert store.description(image_id) == reading.description
        moved.append(not torch.allclose(before.states, reading.states, atol=1e-5))
    assert all(moved)  # the adapter has an effect
    assert set(said["word"]) <= set(RATING_WORDS)
    assert not said["fewer_views"].any()
    assert not said["shortened"].any()
    head = load_head(paths.head(chosen.dataset, aspect))
    assert all(torch.isfinite(value).all() for value in head.state_dict().values())
