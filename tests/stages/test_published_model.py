"""distill, describe and features with MiniCPM-Llama3-V-2.5 (tiny, random) and an adapter in the published layout."""

import json
from argparse import Namespace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers.models.idefics2.modeling_idefics2 import Idefics2EncoderLayer
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from data.feature_store.said import read_said
from data.feature_store.store import FeatureStore
from data.tables.frames import read_table, write_table
from m3agiqa.card import read_card
from m3agiqa.commands import bundle
from m3agiqa.errors import InputError
from m3agiqa.files import write_json
from m3agiqa.images import load_image
from m3agiqa.mllm import gpu
from m3agiqa.mllm.conversation import conversation
from m3agiqa.scorer import Scorer
from pipeline import paths, settings
from stages import card, describe, distill, evaluate, features, train, train_fast
from tests import tiny_minicpm
from tests.tiny_mllm import load, picture, texts_of

PACK = Namespace(out=Path("bundle"), dataset=None, note=None, license=None, device="cpu")
SIZES = [(16, 16), (40, 24), (64, 16), (32, 32)] * 2
IDS = [f"i{row}" for row in range(len(SIZES))]
QUICK = {"train": {"epochs": 2}, "evaluate": {"bootstrap": 20}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tiny_minicpm.minicpm(tmp_path_factory.mktemp("models") / "minicpm")
    return base, tiny_minicpm.adapter(base, base.parent / "adapter")


@pytest.fixture
def project(folders, tmp_path, monkeypatch):
    """Every input of distill below the working folder; `project(enabled, adapter)` gives the settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    base, _ = folders
    checked_in = settings.load(Path(__file__).parents[2] / "params.yaml")
    profile = checked_in.mllms["minicpm-llama3-v-2_5"].model_dump()
    profile |= {"model": str(base), "revision": None, "dtype": "float32", "max_length": 400, "max_new_tokens": 8}
    profile["lora"] = tiny_minicpm.LORA.model_dump()
    profile["recipe"] |= {"epochs": 1, "batch": 3, "lr": 1e-3}

    def build(*, enabled, **adapter):
        options = checked_in.distill.model_dump() | {"enabled": enabled}
        changed = {"mllm": "published", "teacher": "offline", "teachers": {"offline": {"kind": "offline"}}}
        changed |= {"mllms": {"published": profile | adapter}, "distill": options}
        return settings.Settings.model_validate(checked_in.model_dump() | changed)

    dataset, aspect = checked_in.dataset, checked_in.aspect
    (paths.raw(dataset) / "images").mkdir(parents=True)
    for row, (image_id, size) in enumerate(zip(IDS, SIZES, strict=True)):
        picture(row, *size).save(paths.raw(dataset) / "images" / f"{image_id}.png")
    samples = pd.DataFrame({"image_id": IDS, "path": [f"images/{i}.png" for i in IDS], "prompt": "a cat"})
    samples = samples.assign(sha256=IDS, pixels=IDS, **{f"mos_{aspect}": [row / 2 for row in range(len(IDS))]})
    write_table(samples, paths.samples(dataset))
    write_table(pd.DataFrame({"image_id": IDS, "split": ["train", "val"] * 4}), paths.splits(dataset))
    write_table(pd.DataFrame({"image_id": IDS, aspect: "It is good."}), paths.captions(dataset))
    return build


def run(chosen):
    """The stages; the descriptions, and each image's states."""
    for stage in (distill, describe, features):
        stage.main(chosen)
    of = paths.of_dataset(chosen.dataset, chosen.aspect)
    described = read_said(of.descriptions, of.features).set_index("image_id")
    return described, dict(FeatureStore.open(paths.features(chosen.dataset, chosen.aspect)).rows())


def student(folder, adapter):
    return load(folder, max_length=400, adapter=adapter)


@pytest.mark.parametrize("enabled", [True, False])
def test_an_adapter_is_where_distillation_starts_or_all_of_it(folders, project, enabled):
    base, adapter = folders
    chosen = project(enabled=enabled, adapter=str(adapter))
    described, states = run(chosen)
    trained = paths.adapter(chosen.dataset, chosen.aspect)
    assert (trained / "adapter_model.safetensors").exists() is enabled
    used = student(base, trained if enabled else adapter)
    for row, image_id in enumerate(IDS):
        image = load_image(paths.raw(chosen.dataset) / "images" / f"{image_id}.png")
        asked = conversation(chosen.aspect, "a cat")
        assert texts_of(used, [image], [asked], 8) == [described.loc[image_id, "description"]]
        answered = conversation(chosen.aspect, "a cat", described.loc[image_id, "description"])
        (reading,) = used.read([image], [answered])
        assert reading.word == described.loc[image_id, "word"], row
        torch.testing.assert_close(states[image_id], reading.states, atol=1e-4, rtol=1e-4)
    if enabled:
        before, after = (load_file(folder / "adapter_model.safetensors") for folder in (adapter, trained))
        assert before.keys() == after.keys()
        moved = max(float((after[name] - before[name]).abs().max()) for name in before)
        assert 0 < moved < 0.02  # a step of 1e-3 from where it started, and not from anywhere else


@pytest.mark.parametrize("twice", [False, True])
def test_a_block_that_is_computed_twice_is_compiled_within_its_checkpoint(project, monkeypatch, twice):
    """As if the tiny model were large and on a GPU; what would be compiled is written down instead."""
    whole, within = [], []
    monkeypatch.setattr(gpu, "worth_it", lambda _: True)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **_: whole.append(type(module)))
    monkeypatch.setattr(gpu, "_compiled", lambda forward: within.append(forward) or forward)
    chosen = project(enabled=True)
    runtime = chosen.runtime.model_copy(update={"activation_checkpointing": twice})
    distill.main(chosen.model_copy(update={"runtime": runtime}))
    blocks = {LlamaDecoderLayer, Idefics2EncoderLayer}
    assert set(whole) == (set() if twice else blocks)
    assert set(within) == ({block.forward.__wrapped__ for block in blocks} if twice else set())


def test_without_an_adapter_it_is_the_model_as_it_came(folders, project):
    described, _ = run(project(enabled=False, adapter=None))
    images = [load_image(paths.raw("synthetic") / "images" / f"{image_id}.png") for image_id in IDS]
    said = texts_of(student(folders[0], None), images, [conversation("quality", "a cat")] * len(IDS), 8)
    assert said == described.loc[IDS, "description"].tolist()


def test_an_adapter_that_is_not_to_be_had_is_refused(project):
    with pytest.raises(InputError, match=r"adapter nobody/nothing is no folder.*needs a revision"):
        distill.main(project(enabled=True, adapter="nobody/nothing"))


@pytest.fixture
def trained(folders, project):
    """The settings after a head was trained behind the published adapter, evaluated, and its card written."""
    chosen = project(enabled=False, adapter=str(folders[1]))
    quick = {part: getattr(chosen, part).model_copy(update=change) for part, change in QUICK.items()}
    chosen = chosen.model_copy(update=quick)
    samples = read_table(paths.samples(chosen.dataset))
    write_table(samples.assign(generator="a", std_quality=0.5), paths.samples(chosen.dataset))
    parts = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    write_table(pd.DataFrame({"image_id": IDS, "split": parts}), paths.splits(chosen.dataset))
    run(chosen)
    for stage in (train, train_fast, evaluate, card):
        stage.main(chosen)
    return chosen


def test_a_head_trained_here_behind_a_published_adapter_makes_a_bundle(folders, trained):
    adapter = folders[1]
    bundle.run(PACK)
    assert {path.name for path in Path("bundle/quality/adapter").iterdir()} == {path.name for path in adapter.iterdir()}
    assert f"with the adapter `{Path(adapter).name}`" in Path("bundle/README.md").read_text()
    expected = pd.read_csv("results/predictions.csv").set_index("image_id")
    files = [paths.raw(trained.dataset) / "images" / f"{image_id}.png" for image_id in expected.index]
    scores = Scorer.load("bundle", device="cpu")(files, expected["prompt"].tolist(), aspect="quality")
    assert [score.score for score in scores] == pytest.approx(expected["predicted"].tolist(), abs=1e-4)
    assert {score.word for score in scores} == {None}  # two test images do not show that its words tell anything


def test_figures_of_another_data_sets_images_come_into_no_card_and_no_bundle(trained):
    path = paths.EVALUATION
    write_json(path, json.loads(path.read_text()) | {"on": "folder", "cross": True})  # as evaluate.on leaves it
    before = read_card(paths.card(trained.dataset, trained.aspect))
    card.main(trained)
    after = read_card(paths.card(trained.dataset, trained.aspect))
    assert before.figures["n"] == 2
    assert after.figures == {}
    assert (after.head.interval.half_width, after.head.interval.coverage) == (before.head.interval.half_width, None)
    with pytest.raises(InputError, match=r"quality was last evaluated on another data set's images; empty evaluate.on"):
        bundle.run(PACK)
    assert not Path("bundle").exists()
