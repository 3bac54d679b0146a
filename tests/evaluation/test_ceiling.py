"""The ceiling from the raters' spread, against simulated panels whose truth is known."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from evaluation.ceiling import ceiling, ceiling_from_spread

DICE = np.random.default_rng(5)
TRUTH = DICE.uniform(1, 4, 300)
GIVEN = np.clip(TRUTH[:, None] + DICE.normal(0, 1, (300, 20)), 0, 5)
RATED = pd.DataFrame({"mos": GIVEN.mean(axis=1), "std": GIVEN.std(axis=1, ddof=1), "truth": np.nan})


@pytest.mark.parametrize(("raters", "spread"), [(4, 1.0), (24, 1.0), (24, 0.3)])
def test_it_is_what_the_truth_reaches(raters, spread):
    rng = np.random.default_rng(5)
    truth = rng.uniform(1, 4, 2000)
    scores = np.clip(truth[:, None] + rng.normal(0, spread, (2000, raters)), 0, 5)
    mos, std = scores.mean(axis=1), scores.std(axis=1, ddof=1)
    found = ceiling_from_spread(mos, std, raters, seed=0)
    assert found["srcc"] == pytest.approx(stats.spearmanr(truth, mos).statistic, abs=0.01)
    assert found["plcc"] == pytest.approx(stats.pearsonr(truth, mos).statistic, abs=0.01)
    assert ceiling_from_spread(mos, std, raters, seed=0) == found


@pytest.mark.parametrize(
    ("mos", "std", "reason"),
    [
        ([1, 2, 3, 4], [np.nan, np.nan, np.nan, 1], "1 of 4 images"),
        ([2, 2, 2, 2], [1, 1, 1, 1], "explains all"),
        ([2, 2.1, 2, 2.1], [1, 1, 1, 1], "explains all"),
        ([0, 2, 3, 5], [0.4, 1, 1, 0], "on 1 images no scores"),  # all of them must be 0
        ([1, 2, 3, 4], [2.4, 1, 1, 1], "on 1 images no scores"),  # between 0 and 5, 4 scores of mean 1 spread by 2.3
    ],
)
def test_no_ceiling_is_none_with_a_warning(mos, std, reason, caplog):
    assert ceiling_from_spread(mos, std, 4, seed=0) is None
    assert reason in caplog.text


@pytest.mark.parametrize("raters", [2, 4])
def test_scores_at_both_ends_are_possible(raters):
    spread = np.std([0] * (raters // 2) + [5] * (raters // 2), ddof=1)
    found = ceiling_from_spread([2.5, 0, 5, 0, 5, 0, 5], [round(spread, 2), 0, 0, 0, 0, 0, 0], raters, seed=0)
    assert 0.9 < found["plcc"] < 1


def test_a_stage_has_both_ways_to_know_it():
    both = ceiling(RATED.assign(truth=TRUTH), 20, averaged=True, seed=0)
    assert both["srcc"] == pytest.approx(stats.spearmanr(TRUTH, RATED["mos"]).statistic)
    assert both["srcc_from_spread"] == pytest.approx(both["srcc"], abs=0.02)
    alone = ceiling(RATED, 20, averaged=True, seed=0)
    assert alone == both | {"srcc": None}


@pytest.mark.parametrize(
    ("table", "raters", "averaged"),
    [
        (RATED, None, True),
        (RATED, 20, False),
        (RATED.drop(columns="std"), 20, True),
        (RATED.assign(std=np.nan), 20, True),
    ],
    ids=["unknown raters", "standardised", "no spread", "blank spread"],
)
def test_where_the_spread_does_not_tell_it_is_null(table, raters, averaged, caplog):
    found = ceiling(table, raters, averaged=averaged, seed=0)
    assert found == {"srcc": None, "srcc_from_spread": None, "plcc_from_spread": None}
    if not averaged:
        assert "not of the scores that these MOS are the mean of" in caplog.text


def test_a_rater_who_is_stricter_than_others_makes_it_a_little_low():
    """All saw every image, so the order of the MOS does not suffer; the spread counts it."""
    stricter = GIVEN + np.linspace(-0.6, 0.6, 20)
    mos, std = stricter.mean(axis=1), stricter.std(axis=1, ddof=1)
    plain = ceiling_from_spread(RATED["mos"], RATED["std"], 20, seed=0)["srcc"]
    assert plain - 0.02 < ceiling_from_spread(mos, std, 20, seed=0)["srcc"] < plain


def test_one_draw_of_noise_is_in_memory_at_a_time():
    """200 of them would be 32 MB."""
    random = np.random.default_rng(0)
    mos, std = random.uniform(0, 5, 20_000), random.uniform(0.2, 1, 20_000)
    tracemalloc.start()
    ceiling_from_spread(mos, std, 20, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
