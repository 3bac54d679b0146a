"""Where a score stands among the training images: the share of them that people rated lower, wherever it is shown."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m3agiqa import gallery
from m3agiqa.answers import AspectScore
from m3agiqa.aspects import Scale
from m3agiqa.card import Card, read_card
from m3agiqa.given import Opened
from m3agiqa.image_list import ListedImage
from m3agiqa.score import Interval, Score
from m3agiqa.score_files import Scored
from m3agiqa.scorer import Scorer
from m3agiqa.summary import standing
from tests.tiny_mllm import picture
from tests.trained import rated_on

RATED = np.random.default_rng(0).gamma(4, 0.35, 2_000).clip(0, 5)  # MOS, most of them low
CARD = Card.model_construct(mos=tuple(np.quantile(RATED, np.linspace(0, 1, 101)).round(4)))  # as the stage card does


@given(st.lists(st.floats(-1, 6), min_size=2, max_size=20))
def test_a_higher_score_never_stands_lower(scores):
    found = [CARD.percentile(score) for score in sorted(scores)]
    assert found == sorted(found)
    assert min(found) >= 0
    assert max(found) <= 100


def test_it_is_0_and_100_at_the_ends():
    low, *_, high = CARD.mos
    assert [CARD.percentile(score) for score in (-1, low, high, 6)] == [0, 0, 100, 100]


def test_it_is_the_share_that_was_rated_lower():
    for score in np.linspace(0, 5, 101):
        assert CARD.percentile(score) == pytest.approx(100 * np.mean(score > RATED), abs=1)


@pytest.mark.parametrize("scale", [(0.0, 5.0), (1.0, 100.0)])
def test_a_score_has_that_of_its_card_on_any_scale(parts, tmp_path, scale):
    part = rated_on(scale, parts["quality"], tmp_path)
    for score in Scorer({"quality": part}, device="cpu")([picture(seed) for seed in range(3)], aspect="quality"):
        assert score.percentile == pytest.approx(read_card(part.card).percentile(score.score_0_5))


def test_without_a_score_there_is_none(parts):
    (score,) = Scorer(parts, device="cpu").judge([Opened.of(b"no image", None)], aspect="quality")
    assert score.percentile is None
    assert standing(score) == ""


@pytest.mark.parametrize(
    ("percentile", "said"), [(0.0, "0 %"), (0.2, "1 %"), (72.6, "73 %"), (99.7, "99 %"), (100.0, "100 %")]
)
def test_it_is_shown_with_the_score(tmp_path, percentile, said):
    score = Score("quality", "ok", 61.0, Interval(1, 99), "excellent", "said", (), Scale(0, 100), percentile=percentile)
    line = f"better than {said} of the training images"
    rows = [Scored(ListedImage("a.png", tmp_path / "a.png", ""), [score])]
    assert standing(score) == line
    shown = gallery.table(rows).splitlines()
    assert line in [each.strip() for each in shown]
    assert max(map(len, shown)) <= 100
    for page in ("".join(gallery.gallery(rows)), gallery.panel([score])):
        assert f">{line}</span>" in page
        assert "the share of the training images that people rated lower" in page
    assert AspectScore.of(score).percentile == percentile
