"""The figures against scipy's on the same numbers, and what no figure may do: be NaN, or look surer than it is."""

import logging
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from finetune import metrics

RNG = np.random.default_rng(11)
MOS = RNG.uniform(0, 5, 120)
PREDICTED = MOS + RNG.normal(0, 0.6, 120)
TIED = np.round(PREDICTED)  # seven values: almost all tied
PROMPTS = [f"prompt {row // 6}" for row in range(120)]
CLUSTERS = metrics.prompt_clusters(PROMPTS)


@pytest.mark.parametrize("predicted", [PREDICTED, TIED], ids=["distinct", "tied"])
@pytest.mark.parametrize(
    ("ours", "scipys"),
    [(metrics.srcc, stats.spearmanr), (metrics.plcc, stats.pearsonr), (metrics.krcc, stats.kendalltau)],
)
def test_correlations_are_scipys(ours, scipys, predicted):
    assert ours(predicted, MOS) == pytest.approx(scipys(predicted, MOS).statistic)


def test_rmse():
    assert metrics.rmse([1, 2, 3], [1, 4, 3]) == pytest.approx(math.sqrt(4 / 3))
    assert metrics.rmse([2, 2, 2], [1, 2, 3]) is not None  # a constant has no correlation, but it has an error


@pytest.mark.parametrize("figure", [metrics.srcc, metrics.plcc, metrics.krcc, metrics.fit_logistic])
@pytest.mark.parametrize(
    ("predicted", "mos", "reason"),
    [
        ([2.0] * 5, [1, 2, 3, 4, 5], "all predictions are equal"),
        ([1, 2, 3], [3, 3, 3], "all scores are equal"),
        ([1, 2], [1, 2], "fewer than 3"),
    ],
)
def test_no_value_is_none_with_a_warning(figure, predicted, mos, reason, caplog):
    with caplog.at_level(logging.WARNING):
        assert figure(predicted, mos) is None
    assert reason in caplog.text


@pytest.mark.parametrize("predicted", [[1, np.nan, 2], [1, np.inf, 2], [1, 2]])
def test_broken_input_is_an_error(predicted):
    with pytest.raises(ValueError, match=r"finite|one length"):
        metrics.srcc(predicted, [1, 2, 3])


def test_logistic_fit_recovers_known_parameters():
    truth = metrics.Logistic(bottom=0.8, top=4.2, centre=2.4, width=0.45)
    found = metrics.fit_logistic(MOS, truth(MOS))
    for name in ("bottom", "top", "centre", "width"):
        assert getattr(found, name) == pytest.approx(getattr(truth, name), abs=1e-4)


def test_logistic_fit_straightens_a_bend_and_harms_no_line():
    bent = metrics.Logistic(bottom=0, top=5, centre=2.5, width=0.3)(PREDICTED)
    assert metrics.plcc_fitted(PREDICTED, bent)[0] == pytest.approx(1, abs=1e-6)
    assert metrics.plcc(PREDICTED, bent) < 0.98
    assert metrics.plcc_fitted(PREDICTED, MOS)[0] >= metrics.plcc(PREDICTED, MOS) - 1e-3


def test_logistic_fit_never_turns_a_backward_ranking_into_a_good_one():
    assert metrics.plcc_fitted(-PREDICTED, MOS) == (None, None)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=30))
def test_never_nan(pairs):
    predicted, mos = map(list, zip(*pairs, strict=True))
    for value in (
        metrics.srcc(predicted, mos),
        metrics.krcc(predicted, mos),
        metrics.plcc_fitted(predicted, mos)[0],
        *(metrics.srcc_interval(predicted, mos, range(len(mos)), resamples=20, seed=0) or [None]),
    ):
        assert value is None or math.isfinite(value)


def test_within_generator_is_blind_to_the_generators_means():
    generator = np.arange(120) % 2
    shifted = MOS + 10 * generator  # between generators all is known, within them nothing
    noise = RNG.normal(size=120)
    names = [f"g{number}" for number in generator]
    assert metrics.srcc(noise + 10 * generator, shifted) > 0.7
    assert abs(metrics.srcc_within(noise + 10 * generator, shifted, names)) < 0.3


def test_within_generator_weighs_by_images_and_leaves_out_small_and_unknown(caplog):
    names = ["a"] * 30 + ["b"] * 60 + ["c"] * 2 + [""] * 28
    a, b = metrics.srcc(PREDICTED[:30], MOS[:30]), metrics.srcc(PREDICTED[30:90], MOS[30:90])
    assert metrics.srcc_within(PREDICTED, MOS, names) == pytest.approx((30 * a + 60 * b) / 90)
    assert "'c' is left out (2 images)" in caplog.text
    assert metrics.srcc_within(PREDICTED, MOS, [""] * 120) is None


def test_level_accuracy():
    said, true = [0, 1, 2, 4, 4], [0, 2, 2, 2, 3]
    assert metrics.level_accuracy(said, true) == pytest.approx(2 / 5)
    assert metrics.level_accuracy(said, true, within=1) == pytest.approx(4 / 5)
    assert metrics.level_accuracy([], []) is None


def test_images_without_prompt_are_clusters_of_their_own():
    assert metrics.prompt_clusters(["x", "", "x", " ", ""]).tolist() == [0, 1, 0, 2, 3]


@pytest.mark.parametrize("predicted", [PREDICTED, TIED], ids=["distinct", "tied"])
def test_resampled_srcc_is_that_of_the_repeated_rows(predicted):
    """The running-sum ranks against scipy on rows that are really repeated."""
    (counts,) = metrics._resampled(CLUSTERS, 5, seed=3)
    fast = metrics._weighted_srcc(counts, predicted, MOS)
    for row, value in zip(counts.astype(int), fast, strict=True):
        slow = stats.spearmanr(np.repeat(predicted, row), np.repeat(MOS, row)).statistic
        assert value == pytest.approx(slow)


def test_resampling_keeps_a_prompts_images_together():
    (counts,) = metrics._resampled(CLUSTERS, 50, seed=0)
    assert (counts.reshape(50, 20, 6) == counts.reshape(50, 20, 6)[:, :, :1]).all()
    assert (counts.sum(axis=1) == 120).all()


def test_chunks_do_not_change_the_draws(monkeypatch):
    whole = metrics.srcc_interval(PREDICTED, MOS, CLUSTERS, resamples=50, seed=0)
    monkeypatch.setattr(metrics, "CHUNK", 500)
    assert metrics.srcc_interval(PREDICTED, MOS, CLUSTERS, resamples=50, seed=0) == whole


def test_interval_holds_the_estimate_and_repeats():
    first, again, other = (
        metrics.srcc_interval(PREDICTED, MOS, CLUSTERS, resamples=500, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert first[0] < metrics.srcc(PREDICTED, MOS) < first[1]


def test_clusters_widen_the_interval():
    """Twenty prompts seen six times each say as much as twenty images, not as much as 120."""
    mos = np.repeat(RNG.uniform(0, 5, 20), 6)
    predicted = mos + np.repeat(RNG.normal(0, 1, 20), 6) + RNG.normal(0, 0.05, 120)
    clustered = metrics.srcc_interval(predicted, mos, CLUSTERS, resamples=500, seed=0)
    single = metrics.srcc_interval(predicted, mos, np.arange(120), resamples=500, seed=0)
    assert np.ptp(clustered) > 1.5 * np.ptp(single)


def test_one_prompt_has_no_interval(caplog):
    assert metrics.srcc_interval(PREDICTED, MOS, [0] * 120, resamples=50, seed=0) is None
    assert "too few prompts" in caplog.text


def test_gain_is_paired():
    rival = PREDICTED + RNG.normal(0, 0.3, 120)
    sampling = {"resamples": 500, "seed": 0}
    gain, (low, high) = metrics.srcc_gain(PREDICTED, rival, MOS, CLUSTERS, **sampling)
    assert gain == pytest.approx(metrics.srcc(PREDICTED, MOS) - metrics.srcc(rival, MOS))
    assert low < gain < high
    assert high - low < np.ptp(metrics.srcc_interval(rival, MOS, CLUSTERS, **sampling))
    assert metrics.srcc_gain(PREDICTED, PREDICTED, MOS, CLUSTERS, **sampling) == (0, [0, 0])
