"""How sure one may be of a figure: 95 % intervals from a cluster bootstrap.

Images of one prompt are not independent: a prompt that is hard for one generator is hard for the
next. Intervals therefore resample *prompts*, each with all its images; drawing single images would
make them too narrow.

With few prompts the percentiles of the resamples are too narrow as well. Resamples of k prompts spread less
than k new prompts would, by √((k - 1) / k), and the spread among few is not known well. So a figure's interval
is Student's, with k - 1 degrees of freedom, on a scale on which figures spread alike (Fisher's z of a
correlation, the logarithm of an error); its standard error is half of what the middle 68 % of the resamples
span, widened by √(k / (k - 1)). Prompts with more images than others count for fewer: k is Kish's effective
number. A gain has no such scale: its interval are the percentiles, widened likewise (Hesterberg, The American
Statistician 2015). BCa (Efron 1987) holds the truth less often than either. How often that is, by the number
of prompts, is in docs/protocols.md.

A resample is never built. It is a row of counts, how often each image was drawn, and every figure
is computed from the counts, for all resamples at once: (R, n) counts and n pairs give R figures,
each exactly that of the rows repeated as the counts say. NaN stands for a resample without a value.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from evaluation import metrics
from evaluation.metrics import MIN_IMAGES, Floats, finite
from evaluation.pairs import opposite, tied

Figure = Callable[[Floats, Floats, Floats], Floats]  # (R, n) counts, (n,) predictions, (n,) MOS -> (R,)

log = logging.getLogger(__name__)

CHUNK = 2**21  # counts held at once: 16 MB an array, whatever the number of images
EDGES = np.array([0.025, 0.975])
MIDDLE = (0.1587, 0.8413)  # of a normal distribution within one standard deviation of its mean
ALMOST_ONE = 0.999  # Fisher's z of 1 is infinite: what is nearer to 1 counts as this
ALMOST_NOTHING = 1e-6  # as does the logarithm of no error, in points of the scale


class Scale(NamedTuple):
    """One on which a figure spreads alike whatever its value, and the way back."""

    there: Callable[[ArrayLike], Floats]
    back: Callable[[ArrayLike], Floats]


FISHER = Scale(lambda values: np.arctanh(np.clip(values, -ALMOST_ONE, ALMOST_ONE)), np.tanh)
LOGARITHM = Scale(lambda values: np.log(np.maximum(values, ALMOST_NOTHING)), np.exp)


def interval(
    figure: Figure, predicted: ArrayLike, mos: ArrayLike, clusters: ArrayLike, *, resamples: int, seed: int
) -> list[float] | None:
    """95 % interval of a figure, resampled by cluster; None, with a warning, where there is none.

    It holds the figure itself, whose scale is Fisher's, but for `rmse`.
    """
    predicted, mos = finite(predicted, mos)
    draws = [figure(counts, predicted, mos) for counts in resampled(clusters, resamples, seed)]
    values = _of_a_value(figure.__name__.upper(), draws)
    if values is None:
        return None
    (value,) = figure(np.ones((1, len(mos))), predicted, mos)
    scale = LOGARITHM if figure is rmse else FISHER
    return interval_of(values, value, effective_number(clusters), scale)


def interval_of(draws: Floats, value: float, prompts: float, scale: Scale = FISHER) -> list[float]:
    """95 % interval of a figure from its value and those of resamples (R,), of so many prompts; NaN without any."""
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return [math.nan, math.nan]
    below, above = scale.there(np.quantile(draws, MIDDLE))
    reach = stats.t.ppf(EDGES, prompts - 1) * _widened(prompts) * (above - below) / 2
    low, high = scale.back(scale.there(value) + reach)
    return [float(min(low, value)), float(max(high, value))]  # a value that is almost 1 too


class Gain(NamedTuple):
    """What one predictor has over another."""

    srcc: float
    interval: list[float] | None


def srcc_gain(
    predicted: ArrayLike, rival: ArrayLike, mos: ArrayLike, clusters: ArrayLike, *, resamples: int, seed: int
) -> Gain | None:
    """SRCC of `predicted` less that of `rival`, with its 95 % interval.

    Paired: both are scored on the same resampled images, so what makes a resample easy for both
    cancels, and the interval is narrower than the two separate ones suggest.
    """
    ours, theirs = metrics.srcc(predicted, mos), metrics.srcc(rival, mos)
    if ours is None or theirs is None:
        return None
    (predicted, mos), (rival, _) = finite(predicted, mos), finite(rival, mos)
    draws = [srcc(counts, predicted, mos) - srcc(counts, rival, mos) for counts in resampled(clusters, resamples, seed)]
    values = _of_a_value("SRCC gain", draws)
    if values is None:
        return Gain(ours - theirs, None)
    low, high, _ = difference_of(values, effective_number(clusters))
    return Gain(ours - theirs, [low, high])


class Difference(NamedTuple):
    """How sure a difference is."""

    low: float
    high: float
    p: float  # two-sided: an interval of 1 - p ends at 0


def difference_of(draws: Floats, prompts: float) -> Difference:
    """95 % interval and p of a difference from those of resamples (R,), of so many prompts; NaN without any."""
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return Difference(math.nan, math.nan, math.nan)
    low, high = np.quantile(draws, stats.norm.cdf(stats.norm.ppf(EDGES) * _widened(prompts)))
    negative = np.clip(np.mean(draws < 0) + np.mean(draws == 0) / 2, 0.5 / len(draws), 1 - 0.5 / len(draws))
    p = 2 * stats.norm.cdf(-abs(stats.norm.ppf(negative)) / _widened(prompts))
    return Difference(float(low), float(high), float(p))


def resampled(clusters: ArrayLike, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield (chunk, n) arrays: how often each image is in each resample, clusters drawn with replacement.

    `clusters` numbers each image's cluster, 0…C-1; with a single one there is nothing to draw.
    """
    clusters = np.asarray(clusters)
    total = int(clusters.max()) + 1
    if total == 1 or len(clusters) < MIN_IMAGES:
        return
    generator = np.random.default_rng(seed)
    step = max(1, CHUNK // len(clusters))
    for start in range(0, resamples, step):
        drawn = generator.multinomial(total, np.full(total, 1 / total), size=min(step, resamples - start))
        yield drawn[:, clusters].astype(float)


def srcc(counts: Floats, x: Floats, y: Floats) -> Floats:
    """Spearman's correlation.

    A value's mean rank in a resample is the number of smaller copies plus half of (its own copies
    + 1): a running sum over values sorted once, where ranking each resample would sort it anew.
    """
    return _correlation(counts, *(_mean_ranks(counts, values) for values in (x, y)))


def plcc(counts: Floats, x: Floats, y: Floats) -> Floats:
    """Pearson's correlation."""
    return _correlation(counts, x, y)


def krcc(counts: Floats, x: Floats, y: Floats) -> Floats:
    """Kendall's tau-b: pairs in the same order less those in opposite order, each as often as its counts say.

    Of all pairs, those that are tied and those in opposite order are taken away (Knight 1966). Numbers of pairs are
    integers, exact in floats up to a hundred million images.
    """
    every = counts.sum(axis=1) ** 2
    in_x, in_y, in_both = (tied(counts, values) for values in ([x], [y], [x, y]))
    same_less_opposite = every - in_x - in_y + in_both - 4 * opposite(counts, x, y)
    with np.errstate(invalid="ignore", divide="ignore"):
        tau: Floats = same_less_opposite / np.sqrt((every - in_x) * (every - in_y))
    return tau


def rmse(counts: Floats, x: Floats, y: Floats) -> Floats:
    """Root mean squared error, in points of the scale."""
    errors: Floats = np.sqrt(counts @ (x - y) ** 2 / counts.sum(axis=1))
    return errors


def within(groups: Sequence[str]) -> Figure:
    """`srcc` inside each group (metrics.srcc_within): groups without a value in a resample are left out of it."""
    names = np.asarray(groups, object)
    rows = [np.flatnonzero(names == name) for name in sorted(set(names) - {""})]
    rows = [group for group in rows if len(group) >= MIN_IMAGES]

    def srcc_within(counts: Floats, x: Floats, y: Floats) -> Floats:
        if not rows:
            return np.full(len(counts), np.nan)
        values = np.stack([srcc(counts[:, group], x[group], y[group]) for group in rows])  # (groups, R)
        weights = np.where(np.isfinite(values), np.stack([counts[:, group].sum(axis=1) for group in rows]), 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: Floats = (np.nan_to_num(values) * weights).sum(axis=0) / weights.sum(axis=0)
        return mean

    return srcc_within


def _correlation(counts: Floats, x: Floats, y: Floats) -> Floats:
    """Pearson's, of values (n,) or (R, n)."""
    total = counts.sum(axis=1, keepdims=True)
    rounding = [1e-12 * max(1.0, float(np.abs(values).max())) for values in (x, y)]  # what equal values may differ by
    with np.errstate(invalid="ignore", divide="ignore"):  # no value where nothing was drawn, or nothing varies
        x, y = (values - (counts * values).sum(axis=1, keepdims=True) / total for values in (x, y))
        both, *spreads = [(counts * a * b).sum(axis=1) for a, b in ((x, y), (x, x), (y, y))]
        varies = [spread > total[:, 0] * least**2 for spread, least in zip(spreads, rounding, strict=True)]
        return np.where(varies[0] & varies[1], both / np.sqrt(spreads[0] * spreads[1]), np.nan)


def _mean_ranks(counts: Floats, values: Floats) -> Floats:
    _, first, place = np.unique(np.sort(values), return_index=True, return_inverse=True)
    order = np.argsort(values, kind="stable")
    copies = np.add.reduceat(counts[:, order], first, axis=1)  # (R, distinct values)
    ranks = np.cumsum(copies, axis=1) - (copies - 1) / 2
    back = np.empty_like(order)
    back[order] = place
    return ranks[:, back]


def effective_number(clusters: ArrayLike) -> float:
    """How many clusters of one size tell as much as these (Kish, Survey Sampling, 1965); at least 2."""
    sizes = np.unique(np.asarray(clusters), return_counts=True)[1]
    return max(float(sizes.sum() ** 2 / (sizes**2).sum()), 2.0)


def _widened(prompts: float) -> float:
    """How many times more new prompts spread than resamples of these: the spread of k values over k, not k - 1."""
    return float(np.sqrt(prompts / (prompts - 1)))


def _of_a_value(name: str, draws: list[Floats]) -> Floats | None:
    """The resamples' figures, but for those of resamples that happen to be constant; None where all are."""
    values: Floats = np.concatenate([np.zeros(0), *draws])
    if not np.isfinite(values).any():
        log.warning("%s interval: null, too few prompts to resample, or all values are equal", name)
        return None
    return values[np.isfinite(values)]
