"""card: what scoring must know of a trained aspect, from what the other stages left."""

from pathlib import Path

import pytest

from data.feature_store.store import FeatureStore
from data.tables.frames import read_table, write_table
from m3agiqa.card import head_sha256, read_card
from m3agiqa.errors import InputError
from m3agiqa.files import read_json, write_json
from m3agiqa.warnings.images import content_of, distance
from pipeline import paths
from stages import card, evaluate
from tests import evaluated
from tests.tiny_mllm import picture

TINY = Path(__file__).parents[2] / "models/tiny"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with every input of the stage, and its settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("card"))
        settings = evaluated.build()
        evaluate.main(settings)
        Path("models/tiny").symlink_to(TINY)
        yield settings


def test_it_names_what_it_is_the_card_of(made):
    card.main(made)
    found = read_card(paths.card(made.dataset, made.aspect))
    assert (found.dataset, found.aspect, found.identity) == (made.dataset, made.aspect, "made up")
    reached = read_json(paths.EVALUATION)
    for head, folder, its in ((found.head, paths.head, reached), (found.fast_head, paths.fast_head, reached["fast"])):
        assert head.sha256 == head_sha256(folder(made.dataset, made.aspect))
        assert head.interval.model_dump() == its["interval"]
        assert head.preference.spread == its["preference"]["spread"]
    assert found.familiar.limits["pixels"] == (24 * 24, 24 * 24)
    assert found.head.interval.level == 0.9


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

    store = FeatureStore.open(paths.features(made.dataset, made.aspect))
    (of_val,) = store.batches(list(samples.loc[split == "val", "image_id"]), 96)
    farthest = distance(of_val.states, of_val.mask, before.content).max().item()
    assert before.content.distance == pytest.approx(farthest)  # of 24 images the farthest
    (of_train,) = store.batches(list(samples.loc[split == "train", "image_id"]), 96)
    seen = content_of(of_train.states, of_train.mask, before.content.tokens)
    assert before.content.mean == pytest.approx(seen.mean(dim=0).tolist(), rel=1e-4, abs=1e-6)


def test_its_world_is_rendered_where_nobody_rated(made):
    (paths.raw(made.dataset) / "about.json").unlink(missing_ok=True)
    card.main(made)
    assert read_card(paths.card(made.dataset, made.aspect)).world == "simulated"
    write_json(paths.raw(made.dataset) / "about.json", {"scale": [1, 5]})
    card.main(made)
    assert read_card(paths.card(made.dataset, made.aspect)).world == "real"


@pytest.mark.parametrize(("key", "value"), [("aspect", "authenticity"), ("dataset", "folder")])
def test_figures_of_something_else_are_refused(made, key, value):
    figures = read_json(paths.EVALUATION)
    write_json(paths.EVALUATION, figures | {key: value})
    with pytest.raises(InputError, match=f"{key} is {value}, expected {getattr(made, key)}; run evaluate"):
        card.main(made)
    write_json(paths.EVALUATION, figures)
