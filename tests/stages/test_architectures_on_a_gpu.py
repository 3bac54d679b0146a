"""distill, describe and features of each profile's architecture on a GPU, compiled and as they come: the same results.

Run this file by hand on a machine that has a GPU; elsewhere it is skipped. Models are small, the threshold above which
one is compiled is lowered: blocks, generation step (a CUDA graph with grouped attention), training step.
"""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

from data.feature_store.said import read_said
from data.feature_store.store import FeatureStore
from m3agiqa.mllm import gpu
from pipeline import paths, settings
from stages import describe, distill, features
from tests.few_images import project
from tests.stages.test_architectures import MODELS

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.filterwarnings("ignore"),  # of another torch, whose versions a borrowed machine has
]
ROOT = Path(__file__).parents[2]
NAMES = [*MODELS, "qwen3-vl-8b", "small"]
NEAR = {"atol": 2e-3, "rtol": 2e-3}


def chosen(name, model, **runtime):
    """The checked-in profile on a tiny instance of its architecture, or on one like `small`."""
    profile = settings.load(ROOT / "params.yaml").mllms[name].model_dump()
    tiny = {"model": str(model), "revision": None, "dtype": "float32", "max_new_tokens": 8}
    if name != "small":
        tiny["max_length"] = 400
    made = project(profile | tiny)
    return made.model_copy(update={"runtime": made.runtime.model_copy(update={"device": "cuda", **runtime})})


def model_of(name, folder):
    if name == "small":
        return small(folder / "model")
    return MODELS[name.replace("8b", "2b")](folder / "model")


def small(folder):
    """As it ships, but for its weights, which are random."""
    shutil.copytree(ROOT / "models/small", folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder)).float().save_pretrained(folder)
    return folder


def there(folder, monkeypatch):
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_ROOT", str(folder))


def losses():
    curve = pd.read_csv("results/training/distill.csv")
    return torch.tensor(pd.concat([curve["train_loss"].dropna(), curve["val_loss"].dropna()]).to_numpy())


@pytest.mark.parametrize("twice", [False, True], ids=["kept", "activations-computed-twice"])
@pytest.mark.parametrize("name", NAMES)
def test_compiled_is_as_it_comes(name, twice, tmp_path, monkeypatch):
    model, found = model_of(name, tmp_path), {}
    for kind, large in (("as it comes", gpu.LARGE), ("compiled", 1)):
        monkeypatch.setattr(gpu, "LARGE", large)
        there(tmp_path / kind.replace(" ", "-"), monkeypatch)
        made = chosen(name, model, activation_checkpointing=twice)
        distill.main(made)
        adapter = paths.adapter(made.dataset, made.aspect).absolute()
        if found:  # what is described and read is one student's, whichever way it was taught
            shutil.rmtree(adapter)
            shutil.copytree(found["as it comes"][0], adapter)
        describe.main(made)
        features.main(made)
        of = paths.of_dataset(made.dataset, made.aspect)
        store = FeatureStore.open(of.features)
        said = read_said(of.descriptions, of.features).set_index("image_id")
        found[kind] = adapter, losses(), said, {image_id: store[image_id] for image_id in said.index}
    (_, loss, said, states), (_, other_loss, other_said, other_states) = found.values()
    torch.testing.assert_close(loss, other_loss, **NEAR)
    pd.testing.assert_frame_equal(said[["description", "word"]], other_said[["description", "word"]])
    for image_id, each in states.items():
        torch.testing.assert_close(each, other_states[image_id], **NEAR)
