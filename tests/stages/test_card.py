"""card: what scoring must know of a trained aspect, from what the other stages left."""

import pytest

from m3agiqa.card import head_sha256, read_card
from m3agiqa.files import write_json
from pipeline import paths
from stages import card, evaluate
from tests import evaluated


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
