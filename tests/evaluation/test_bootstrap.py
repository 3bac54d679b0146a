"""Intervals: every resampled figure against scipy on rows that are really repeated, and what no interval may do."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evaluation import bootstrap, metrics

RNG = np.random.default_rng(11)
MOS = RNG.uniform(0, 5, 120)
PREDICTED = MOS + RNG.normal(0, 0.6, 120)
TIED = np.round(PREDICTED)  # seven values: almost all tied
CLUSTERS = np.arange(120) // 6
GENERATORS = [f"g{row % 3}" for row in range(118)] + ["rare", ""]
SLOW = {
    bootstrap.srcc: lambda x, y: stats.spearmanr(x, y).statistic,
    bootstrap.plcc: lambda x, y: stats.pearsonr(x, y).statistic,
    bootstrap.krcc: lambda x, y: stats.kendalltau(x, y).statistic,
    bootstrap.rmse: metrics.rmse,
}


@pytest.mark.parametrize("predicted", [PREDICTED, TIED], ids=["distinct", "tied"])
@pytest.mark.parametrize("figure", SLOW, ids=lambda figure: figure.__name__)
def test_a_resampled_figure_is_that_of_the_repeated_rows(figure, predicted):
    (counts,) = bootstrap.resampled(CLUSTERS, 5, seed=3)
    fast = figure(counts, predicted, MOS)
    for row, value in zip(counts.astype(int), fast, strict=True):
        assert value == pytest.approx(SLOW[figure](np.repeat(predicted, row), np.repeat(MOS, row)))


def test_within_generators_is_that_of_the_repeated_rows():
    (counts,) = bootstrap.resampled(CLUSTERS, 5, seed=3)
    fast = bootstrap.within(GENERATORS)(counts, PREDICTED, MOS)
    for row, value in zip(counts.astype(int), fast, strict=True):
        repeated = (np.repeat(values, row) for values in (PREDICTED, MOS, np.array(GENERATORS)))
        predicted, mos, generators = repeated
        of_three = np.isin(generators, ["g0", "g1", "g2"])
        expected = metrics.srcc_within(predicted[of_three], mos[of_three], list(generators[of_three]))
        assert value == pytest.approx(expected)


def test_a_generator_that_is_not_drawn_is_left_out_without_a_warning():
    generators = np.array(GENERATORS)
    drawn = generators != "g1"
    (value,) = bootstrap.within(GENERATORS)(drawn[None].astype(float), PREDICTED, MOS)
    rest = drawn & (generators != "rare")
    assert value == pytest.approx(metrics.srcc_within(PREDICTED[rest], MOS[rest], list(generators[rest])))


def over_all_pairs(counts, x, y):
    """Kendall's tau-b as it is defined: each pair as often as the product of its counts says."""
    signs = [np.sign(values[:, None] - values) for values in (x, y)]
    both, in_x, in_y = (((counts @ (a * b)) * counts).sum(axis=1) for a, b in (signs, 2 * signs[:1], 2 * signs[1:]))
    return both / np.sqrt(in_x * in_y)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 70), st.integers(0, 999), st.sampled_from([0, 1, 9]), st.sampled_from([0, 1, 9]))
def test_kendalls_tau_is_that_over_all_pairs(images, seed, decimals, others):
    """With ties in one, the other or both."""
    random = np.random.default_rng(seed)
    x = random.normal(size=images).round(decimals)
    y = (x + random.normal(size=images)).round(others)
    counts = random.multinomial(images, np.full(images, 1 / images), size=4).astype(float)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(bootstrap.krcc(counts, x, y), over_all_pairs(counts, x, y), rtol=1e-12, atol=1e-12)


def test_kendalls_tau_of_many_images():
    """All pairs of 100,000 images would take minutes a resample."""
    random = np.random.default_rng(0)
    x = random.normal(size=100_000).round(2)
    y = x + random.normal(size=len(x))
    (tau,) = bootstrap.krcc(np.ones((1, len(x))), x, y)
    assert tau == pytest.approx(stats.kendalltau(x, y).statistic, rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=30))
def test_never_nan(pairs):
    predicted, mos = map(list, zip(*pairs, strict=True))
    for figure in (*SLOW, bootstrap.within(["a", "b"] * 15)):
        if figure.__name__ == "srcc_within" and len(pairs) != 30:
            continue
        found = bootstrap.interval(figure, predicted, mos, range(len(mos)), resamples=20, seed=0)
        assert found is None or all(map(math.isfinite, found))


@pytest.mark.parametrize("constant", [3.0, 0.1 + 0.2, 1e9 / 3])
def test_a_constant_has_no_correlation_but_an_error(constant):
    sampling = {"resamples": 50, "seed": 0}
    same = [constant] * 120
    for figure in (bootstrap.srcc, bootstrap.plcc, bootstrap.krcc):
        assert bootstrap.interval(figure, same, MOS, CLUSTERS, **sampling) is None
    assert bootstrap.interval(bootstrap.rmse, same, MOS, CLUSTERS, **sampling) is not None


def test_resampling_keeps_a_prompts_images_together():
    (counts,) = bootstrap.resampled(CLUSTERS, 50, seed=0)
    assert (counts.reshape(50, 20, 6) == counts.reshape(50, 20, 6)[:, :, :1]).all()
    assert (counts.sum(axis=1) == 120).all()


def test_chunks_do_not_change_the_draws(monkeypatch):
    whole = bootstrap.interval(bootstrap.srcc, PREDICTED, MOS, CLUSTERS, resamples=50, seed=0)
    monkeypatch.setattr(bootstrap, "CHUNK", 500)
    assert bootstrap.interval(bootstrap.srcc, PREDICTED, MOS, CLUSTERS, resamples=50, seed=0) == whole


def test_interval_holds_the_estimate_and_repeats():
    first, again, other = (
        bootstrap.interval(bootstrap.srcc, PREDICTED, MOS, CLUSTERS, resamples=500, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert first[0] < metrics.srcc(PREDICTED, MOS) < first[1]


@pytest.mark.parametrize(
    ("figure", "truth"), [(bootstrap.srcc, 6 / np.pi * np.arcsin(0.6 / 2)), (bootstrap.plcc, 0.6)], ids=["srcc", "plcc"]
)
def test_the_truth_is_inside_as_often_as_promised_and_no_more_often(figure, truth):
    """100 prompts of 3 images that are much alike, 300 times; drawn as single images they are inside far less often."""
    random, inside = np.random.default_rng(5), {"prompts": 0, "images": 0}
    clusters, shape = np.repeat(np.arange(100), 3), [[1, 0.6], [0.6, 1]]
    for seed in range(300):
        of_prompts, of_images = (random.multivariate_normal([0, 0], shape, size) for size in (100, 300))
        x, y = (np.sqrt(0.7) * of_prompts[clusters] + np.sqrt(0.3) * of_images).T
        for drawn, groups in (("prompts", clusters), ("images", np.arange(300))):
            low, high = bootstrap.interval(figure, x, y, groups, resamples=200, seed=seed)
            inside[drawn] += low <= truth <= high
    assert inside["prompts"] / 300 == pytest.approx(0.945, abs=0.025)
    assert inside["images"] / 300 < 0.87


def test_an_interval_stays_on_the_scale_of_its_figure():
    few, close = CLUSTERS[:24], MOS[:24] + RNG.normal(0, 0.05, 24)  # four prompts, SRCC almost 1
    for figure, highest in ((bootstrap.srcc, 1), (bootstrap.plcc, 1), (bootstrap.krcc, 1), (bootstrap.rmse, 5)):
        low, high = bootstrap.interval(figure, close, MOS[:24], few, resamples=200, seed=0)
        (value,) = figure(np.ones((1, 24)), close, MOS[:24])
        assert 0 < low <= value <= high <= highest
    for figure, value in ((bootstrap.srcc, 1), (bootstrap.rmse, 0)):
        low, high = bootstrap.interval(figure, MOS, MOS, CLUSTERS, resamples=50, seed=0)
        assert low <= value <= high
        assert high - low < 2e-3


def test_an_interval_is_students_about_the_figure_on_its_own_scale():
    drawn = np.concatenate(list(bootstrap.resampled(CLUSTERS, 300, seed=0)))
    for figure, scale in ((bootstrap.plcc, np.arctanh), (bootstrap.rmse, np.log)):
        found = scale(bootstrap.interval(figure, PREDICTED, MOS, CLUSTERS, resamples=300, seed=0))
        value = scale(SLOW[figure](PREDICTED, MOS))
        assert found - value == pytest.approx([-(found[1] - value), found[1] - value])
        spread = scale(figure(drawn, PREDICTED, MOS)).std() * np.sqrt(20 / 19)
        assert found[1] - value == pytest.approx(stats.t.ppf(0.975, 19) * spread, rel=0.15)


def test_a_prompt_with_most_of_the_images_does_not_count_as_one_of_many():
    assert bootstrap.effective_number(CLUSTERS) == pytest.approx(20)
    assert bootstrap.effective_number([0] * 6 + [1] * 2 + [2] * 2) == pytest.approx(100 / 44)
    assert bootstrap.effective_number([0] * 99 + [1]) == 2  # of less than two there is no spread
    uneven = np.minimum(CLUSTERS, 4)  # 6, 6, 6, 6 and 96 images
    for figure in SLOW:
        low, high = bootstrap.interval(figure, PREDICTED, MOS, uneven, resamples=200, seed=0)
        drawn = np.concatenate(list(bootstrap.resampled(uneven, 200, seed=0)))
        assert high - low > 3 * np.ptp(np.quantile(figure(drawn, PREDICTED, MOS), [0.16, 0.84]))
        assert math.isfinite(high)


def test_few_prompts_widen_a_gain_beyond_the_percentiles():
    few, rival = slice(0, 24), PREDICTED[:24] + RNG.normal(0, 1, 24)  # four prompts
    drawn = np.concatenate(list(bootstrap.resampled(CLUSTERS[few], 2000, seed=0)))
    gains = bootstrap.srcc(drawn, PREDICTED[few], MOS[few]) - bootstrap.srcc(drawn, rival, MOS[few])
    found = bootstrap.srcc_gain(PREDICTED[few], rival, MOS[few], CLUSTERS[few], resamples=2000, seed=0)
    low, high = np.quantile(gains, stats.norm.cdf([-1.96 * np.sqrt(4 / 3), 1.96 * np.sqrt(4 / 3)]))
    assert found.interval == pytest.approx([low, high], abs=1e-3)
    assert np.ptp(found.interval) > 1.05 * np.ptp(np.quantile(gains, [0.025, 0.975]))


def test_clusters_widen_the_interval():
    """Twenty prompts seen six times each say as much as twenty images, not as much as 120."""
    mos = np.repeat(RNG.uniform(0, 5, 20), 6)
    predicted = mos + np.repeat(RNG.normal(0, 1, 20), 6) + RNG.normal(0, 0.05, 120)
    clustered = bootstrap.interval(bootstrap.srcc, predicted, mos, CLUSTERS, resamples=500, seed=0)
    single = bootstrap.interval(bootstrap.srcc, predicted, mos, np.arange(120), resamples=500, seed=0)
    assert np.ptp(clustered) > 1.5 * np.ptp(single)


def test_one_prompt_has_no_interval(caplog):
    assert bootstrap.interval(bootstrap.srcc, PREDICTED, MOS, [0] * 120, resamples=50, seed=0) is None
    assert "too few prompts" in caplog.text


def test_p_is_where_an_interval_would_end_at_no_difference():
    draws = np.random.default_rng(0).normal(0.5, 0.25, 100_000)
    found = bootstrap.difference_of(draws, 25)
    z = 2 / np.sqrt(25 / 24)  # two standard deviations, widened
    assert found.p == pytest.approx(2 * stats.norm.sf(z), rel=0.05)
    assert [found.low, found.high] == pytest.approx(0.5 + 0.25 * 1.96 * np.sqrt(25 / 24) * np.array([-1, 1]), abs=0.01)
    assert bootstrap.difference_of(-draws, 25).p == pytest.approx(found.p)
    assert bootstrap.difference_of(draws, 3).p > found.p
    assert bootstrap.difference_of(np.zeros(100), 25) == (0, 0, 1)
    assert 0 < bootstrap.difference_of(np.ones(100), 25).p < 0.02  # no more certain than a hundred resamples can be
    assert np.isnan(bootstrap.difference_of(np.full(9, np.nan), 25)).all()
    assert np.isnan(bootstrap.interval_of(np.full(9, np.nan), 0.5, 25)).all()


def test_gain_is_paired():
    rival = PREDICTED + RNG.normal(0, 0.3, 120)
    sampling = {"resamples": 500, "seed": 0}
    gain, (low, high) = bootstrap.srcc_gain(PREDICTED, rival, MOS, CLUSTERS, **sampling)
    assert gain == pytest.approx(metrics.srcc(PREDICTED, MOS) - metrics.srcc(rival, MOS))
    assert low < gain < high
    assert high - low < np.ptp(bootstrap.interval(bootstrap.srcc, rival, MOS, CLUSTERS, **sampling))
    assert bootstrap.srcc_gain(PREDICTED, PREDICTED, MOS, CLUSTERS, **sampling) == (0, [0, 0])
