"""The ceiling from the raters' spread, against simulated panels whose truth is known."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from evaluation.ceiling import ceiling_from_spread


@pytest.mark.parametrize(("raters", "spread"), [(4, 1.0), (24, 1.0), (24, 0.3)])
def test_it_is_what_the_truth_reaches(raters, spread):
    rng = np.random.default_rng(5)
    truth = rng.uniform(1, 4, 2000)
    scores = truth[:, None] + rng.normal(0, spread, (2000, raters))
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
    ],
)
def test_no_ceiling_is_none_with_a_warning(mos, std, reason, caplog):
    assert ceiling_from_spread(mos, std, 4, seed=0) is None
    assert reason in caplog.text


def test_one_draw_of_noise_is_in_memory_at_a_time():
    """200 of them would be 32 MB."""
    random = np.random.default_rng(0)
    mos, std = random.uniform(0, 5, 20_000), random.uniform(0.2, 1, 20_000)
    tracemalloc.start()
    ceiling_from_spread(mos, std, 20, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
