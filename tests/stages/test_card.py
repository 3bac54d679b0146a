"""card: what scoring must know of a trained aspect, from what the other stages left."""

import pytest

from data.feature_store.store import FeatureStore
from data.tables.frames import read_table, write_table
from m3agiqa.card import head_sha256, read_card
from m3agiqa.errors import InputError
from m3agiqa.files import read_json, write_json
from m3agiqa.head.model import load_head
from m3agiqa.warnings.images import distance
from pipeline import paths
from stages import card, evaluate
from tests import evaluated
from tests.tiny_mllm import picture


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with every input of the stage, and its settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("card"))
        settings = evaluated.build()
        evaluate.main(settings)
        yield settings


def test_it_names_what_it_is_the_card_of(made):
    card.main(made)
    found = read_card(paths.card(made.dataset, made.aspect))
    assert (found.dataset, found.aspect, found.identity) == (made.dataset, made.aspect, "made up")
    assert found.head == head_sha256(paths.head(made.dataset, made.aspect))
    assert found.familiar.limits["pixels"] == (24 * 24, 24 * 24)
    assert found.interval.level == 0.9


def test_its_scale_is_the_raters(made):
    card.main(made)
    assert read_card(paths.card(made.dataset, made.aspect)).scale == (0, 5)
    write_json(paths.raw(made.dataset) / "about.json", {"scale": [1, 5]})  # as data/ingest/samples.py does
    card.main(made)
    assert read_card(paths.card(made.dataset, made.aspect)).scale == (1, 5)


def test_what_is_familiar_comes_from_train_and_how_far_is_too_far_from_val(made):
    """The other images are larger here, and have longer prompts."""
    card.main(made)
    before = read_card(paths.card(made.dataset, made.aspect)).familiar
    samples = read_table(paths.samples(made.dataset))
    split = read_table(paths.splits(made.dataset))["split"]
    for path in samples.loc[split != "train", "path"]:
        picture(1, 60, 30).save(paths.raw(made.dataset) / path)
    samples.loc[split != "train", "prompt"] += " in the rain"
    write_table(samples, paths.samples(made.dataset))
    card.main(made)
    assert read_card(paths.card(made.dataset, made.aspect)).familiar == before

    head = load_head(paths.head(made.dataset, made.aspect))
    store = FeatureStore.open(paths.features(made.dataset, made.aspect))
    (of_val,) = store.batches(list(samples.loc[split == "val", "image_id"]), 96)
    assert before.distance == pytest.approx(distance(head, *of_val.tensors).max().item())  # of 24 images the farthest


@pytest.mark.parametrize(("key", "value"), [("aspect", "authenticity"), ("dataset", "folder")])
def test_figures_of_something_else_are_refused(made, key, value):
    figures = read_json(paths.EVALUATION)
    write_json(paths.EVALUATION, figures | {key: value})
    with pytest.raises(InputError, match=f"{key} is {value}, expected {getattr(made, key)}; run evaluate"):
        card.main(made)
    write_json(paths.EVALUATION, figures)
