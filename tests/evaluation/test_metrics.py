"""The figures against scipy's on the same numbers, and what no figure may do: be NaN, or look surer than it is."""

import logging
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from evaluation import metrics

RNG = np.random.default_rng(11)
MOS = RNG.uniform(0, 5, 120)
PREDICTED = MOS + RNG.normal(0, 0.6, 120)
TIED = np.round(PREDICTED)  # seven values: almost all tied


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
    assert "left out: 'c' (2 images are fewer than 3)" in caplog.text
    assert metrics.srcc_within(PREDICTED, MOS, [""] * 120) is None


def test_level_accuracy():
    said, true = [0, 1, 2, 4, 4], [0, 2, 2, 2, 3]
    assert metrics.level_accuracy(said, true) == pytest.approx(2 / 5)
    assert metrics.level_accuracy(said, true, within=1) == pytest.approx(4 / 5)
    assert metrics.level_accuracy([], []) is None


def pyiqas_plcc(predicted, mos):
    """The field's reference implementation, pyiqa 0.1: its start values and curve, scipy's free least squares."""

    def curve(x, top, bottom, centre, width):
        return (top - bottom) / (1 + np.exp(-(x - centre) / width)) + bottom

    start = [np.max(mos), np.min(mos), np.mean(predicted), np.std(predicted) / 4]
    found, _ = optimize.curve_fit(curve, predicted, mos, p0=start)
    return stats.pearsonr(curve(predicted, *found), mos)[0]


@pytest.mark.parametrize("noise", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("scale", [1, 20])  # predictions on 0-5 and on 0-100
def test_the_fitted_plcc_is_pyiqas(noise, scale):
    predicted = RNG.uniform(0, 5, 200)
    mos = 1 + 3 / (1 + np.exp(-2 * (predicted - 2.2))) + RNG.normal(0, noise, 200)
    assert metrics.plcc_fitted(scale * predicted, mos)[0] == pytest.approx(
        pyiqas_plcc(scale * predicted, mos), abs=1e-6
    )
