"""features writes of each image what one pass over it told: the states, and beside them what the scorer would show."""

import pandas as pd
import pytest
import torch
from transformers import logging

from data.feature_store.said import read_said
from data.feature_store.store import FeatureStore
from data.tables.frames import read_table, write_table
from finetune.student import longest_first
from m3agiqa.images import load_image
from m3agiqa.mllm.conversation import conversation
from pipeline import paths
from stages import features
from tests import tiny_mllm
from tests.few_images import project

logging.disable_progress_bar()

SHORT, LONG = "It is sharp.", "It is sharp. It is clean. " + "It is bright. " * 40
VIEWS = [{"size": {"longest_edge": 32}}]
PROFILE = {"revision": None, "dtype": "float32", "max_length": 300, "max_new_tokens": 8, "fewer_views": VIEWS}
LORA = {"r": 4, "alpha": 8, "dropout": 0.0, "targets": r".*text_model.*_proj", "modules_to_save": []}


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    """Eight images as describe leaves them, of which the first has a long description."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder = tiny_mllm.idefics3(tmp_path / "model")
    chosen = project(PROFILE | {"model": str(folder), "lora": LORA})
    ids = read_table(paths.samples(chosen.dataset), [])["image_id"]
    written = pd.DataFrame({"image_id": ids, "description": [LONG] + [SHORT] * (len(ids) - 1), "cut_off": False})
    write_table(written, paths.descriptions(chosen.dataset, chosen.aspect))
    return chosen


def test_what_is_told_is_what_the_states_were_read_from(chosen):
    features.main(chosen)
    of = paths.of_dataset(chosen.dataset, chosen.aspect)
    said = read_said(of.descriptions, of.features).set_index("image_id")
    assert said.index[said["shortened"]].tolist() == ["i00"]
    assert SHORT < said.loc["i00", "description"] < LONG
    assert set(said.loc[said.index != "i00", "description"]) == {SHORT}
    assert said.loc["i00", "fewer_views"]
    assert not said["fewer_views"].all()

    profile, store = chosen.mllms[chosen.mllm], FeatureStore.open(of.features)
    mllm = tiny_mllm.load(profile.model, max_length=profile.max_length, fewer_views=VIEWS)
    written = read_table(of.descriptions).set_index("image_id")["description"]
    for row in read_table(of.samples).to_dict("records"):
        asked = conversation(chosen.aspect, row["prompt"], written[row["image_id"]])
        (reading,) = mllm.read([load_image(of.raw / row["path"])], [asked])  # as the scorer reads it, alone
        told = said.loc[row["image_id"]]
        assert (told["word"], told["description"]) == (reading.word, reading.fitted.description)
        assert told["fewer_views"] == (reading.fitted.level > 0)
        assert told["expected"] == pytest.approx(reading.expected, abs=1e-4)
        torch.testing.assert_close(store[row["image_id"]], reading.states, atol=1e-4, rtol=1e-4)


def test_another_longest_sequence_is_another_work(chosen):
    """Also where the model has no fewer views, and so is the same."""
    profile = chosen.mllms[chosen.mllm].model_copy(update={"fewer_views": [], "max_length": 340})
    store = paths.features(chosen.dataset, chosen.aspect)
    lengths = []
    for longest in (340, 320):
        shorter = profile.model_copy(update={"max_length": longest})
        features.main(chosen.model_copy(update={"mllms": {chosen.mllm: shorter}}))
        lengths.append(FeatureStore.open(store).max_tokens)
    assert 320 < lengths[0] <= 340
    assert lengths[1] <= 320


def test_sequences_of_like_length_stand_together_whatever_makes_them_long(chosen, tmp_path):
    """Views of a large image as much as words."""
    raw, student = paths.raw(chosen.dataset), tiny_mllm.load(tiny_mllm.minicpm_v_4_6(tmp_path / "other"))
    samples = read_table(paths.samples(chosen.dataset), ["path", "prompt"]).set_index("image_id")
    longer = SHORT + " And more."  # by fewer tokens than a view has
    for number, path in enumerate(samples["path"]):  # of the short texts, two have the longest sequences of all
        load_image(raw / path).resize((32, 32) if number not in (1, 5) else (64, 64)).save(raw / path)
    rows, ids = samples.assign(description=[longer, SHORT] * 4), list(samples.index)
    order = list(longest_first(student, rows, chosen.aspect, raw).index)
    assert order == [ids[number] for number in (1, 5, 0, 2, 4, 6, 3, 7)]
