"""How sure one may be of a figure: 95 % intervals from a cluster bootstrap.

Images of one prompt are not independent: a prompt that is hard for one generator is hard for the
next. Intervals therefore resample *prompts*, each with all its images; drawing single images would
make them too narrow.

A resample is never built. It is a row of counts, how often each image was drawn, and every figure
is computed from the counts, for all resamples at once: (R, n) counts and n pairs give R figures,
each exactly that of the rows repeated as the counts say. NaN stands for a resample without a value.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evaluation import metrics
from evaluation.metrics import MIN_IMAGES, Floats, finite

Figure = Callable[[Floats, Floats, Floats], Floats]  # (R, n) counts, (n,) predictions, (n,) MOS -> (R,)

log = logging.getLogger(__name__)

CHUNK = 2**21  # counts held at once: 16 MB an array, whatever the number of images


def interval(
    figure: Figure, predicted: ArrayLike, mos: ArrayLike, clusters: ArrayLike, *, resamples: int, seed: int
) -> list[float] | None:
    """95 % percentile interval of a figure, resampled by cluster; None, with a warning, where there is none."""
    predicted, mos = finite(predicted, mos)
    draws = [figure(counts, predicted, mos) for counts in resampled(clusters, resamples, seed)]
    return _percentiles(figure.__name__.upper(), draws)


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
    return Gain(ours - theirs, _percentiles("SRCC gain", draws))


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
    in_x, in_y, in_both = (_tied(counts, values) for values in ([x], [y], [x, y]))
    same_less_opposite = every - in_x - in_y + in_both - 4 * _opposite(counts, x, y)
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


def _tied(counts: Floats, values: list[Floats]) -> Floats:
    """(R,): ordered pairs that are equal in all `values`, those of a copy with itself too."""
    order = np.lexsort(values)
    new = np.any([np.diff(one[order], prepend=np.nan) != 0 for one in values], axis=0)
    copies = np.add.reduceat(counts[:, order], np.flatnonzero(new), axis=1)
    pairs: Floats = np.einsum("rg,rg->r", copies, copies)
    return pairs


def _opposite(counts: Floats, x: Floats, y: Floats) -> Floats:
    """(R,): pairs that x and y put in opposite order: in n log n steps, where comparing each two takes n².

    All images stand in the order of y. Parted at the middle of the order of x, one of the higher half is in opposite
    order to those of the lower half that stand after it: a running sum tells how many. Then each half likewise.
    """
    size = 1 << (len(x) - 1).bit_length()
    of_x, of_y = np.lexsort([y, x]), np.lexsort([x, y])  # ties are in no order, so the other decides
    place = np.arange(size)  # of x, in the order of y; beyond the images are none
    place[np.argsort(of_y)[of_x]] = np.arange(len(x))
    here = np.zeros((len(counts), size))
    here[:, : len(x)] = counts[:, of_y]
    found = np.zeros(len(counts))
    while size > 1:
        higher = (place & (size // 2)) > 0
        parts = len(place) // size
        lower = np.where(higher, 0, here).reshape(len(counts), parts, size)
        before = np.cumsum(lower, axis=2)
        after = before[:, :, -1:] - before
        found += np.einsum("rn,rn->r", np.where(higher, here, 0), after.reshape(here.shape))
        halves = np.argsort(higher.reshape(parts, size), axis=1, kind="stable") + size * np.arange(parts)[:, None]
        place, here = place[halves.ravel()], here[:, halves.ravel()]
        size //= 2
    return found


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


def _percentiles(name: str, draws: list[Floats]) -> list[float] | None:
    values = np.concatenate(draws) if draws else np.array([])
    values = values[np.isfinite(values)]  # a resample may happen to be constant
    if not len(values):
        log.warning("%s interval: null, too few prompts to resample, or all values are equal", name)
        return None
    return [float(edge) for edge in np.quantile(values, [0.025, 0.975])]
