"""Prediction intervals that hold without a model of the errors: split conformal prediction, by prompt.

The half width is a quantile of the absolute errors on images that no weight was trained on, the validation images
(Papadopoulos et al. 2002; Lei et al., JASA 2018). Images of one prompt are hard or easy together, so 72 images of 12
prompts are no 72 draws. But one image of each of k prompts and one of a new prompt can change places (single
subsampling: Dunn, Wasserman and Ramdas, JASA 2023): the new error is above the r-th smallest of the k with
probability 1 - r / (k + 1). Where r = level (k + 1) is no whole number, its two neighbours, taken at random in the
right shares, hold the level exactly.

The half width is the geometric mean of these errors, over both neighbours and over many ways to take an image of each
prompt. By Jensen's inequality it holds at least the level where the share of errors below e is concave in log e, about
that quantile: errors twice as large are rarer by more than half, as they are in the tails of the normal, exponential
and t distributions. Errors that are as frequent up to a hard limit break it: 0.89 of them are held. How much more
than the level it holds, and how wide it is, docs/protocols.md says. The average of p-values over all such ways,
which is the same paper's CDF pooling, needs no condition; with 12 prompts its 90 % hold up to 97 %.

Errors of training images would be many more, but no head sees those as it sees new ones, trained on them or not: the
student was taught their scores. The epochs of student and head were selected on the validation images, which no theorem
allows for; the coverage on the test images shows what is left of the promise.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

USUAL = 0.99  # the share of values that are no outliers
LEVEL = 0.9  # the share of the images whose MOS the interval shall hold
DRAWS = 1000  # ways to take one image of each prompt: what is left of their chance is 1 % of the width, or less
CHUNK = 2**21  # images drawn at once: 16 MB an array, however many prompts there are
NOTHING = 1e-12  # of the largest error: an error of 0 has no logarithm


def interval(
    predicted: ArrayLike, mos: ArrayLike, clusters: ArrayLike, new: ArrayLike, new_mos: ArrayLike
) -> dict[str, float | None]:
    """How wide the interval must be, from the validation images, and how often it holds the MOS of new ones."""
    half = half_width(predicted, mos, clusters)
    return {"level": LEVEL, "half_width": half, "coverage": coverage(new, new_mos, half)}


def half_width(predicted: ArrayLike, mos: ArrayLike, clusters: ArrayLike, level: float = LEVEL) -> float | None:
    """Half the width of the interval around a prediction, in points of the MOS scale.

    `clusters` (n,) says which images belong together. None where they are too few (fewer than 9 at 0.9): only the whole
    scale is safe then.
    """
    return quantile(np.abs(np.asarray(mos, float) - np.asarray(predicted, float)), level, clusters)


def quantile(values: ArrayLike, level: float, clusters: ArrayLike | None = None) -> float | None:
    """What a value of a new cluster does not exceed with probability `level`; None where there are too few to say.

    Without `clusters` each value is one of its own. The values are errors or distances, none below 0.
    """
    values = np.asarray(values, float)
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("the values must be finite, and not below 0")
    names = np.arange(len(values)) if clusters is None else np.asarray(clusters)
    _, members, sizes = np.unique(names, return_inverse=True, return_counts=True)
    rank = level * (len(sizes) + 1)
    if rank > len(sizes) + 1e-9:  # 10 x 0.9 is not 9 in binary
        return None
    whole = max(int(rank + 1e-9), 1)
    share = rank - whole if rank > whole + 1e-9 else 0.0
    ranks = [whole, whole + 1] if share else [whole]
    found = _ranked(values[np.argsort(members, kind="stable")], sizes, ranks)
    largest = found.max()
    if largest == 0:
        return 0.0
    logs = np.log(np.maximum(found / largest, NOTHING)).mean(axis=0)
    return float(largest * np.exp(logs[0] + share * (logs[-1] - logs[0])))


def _ranked(values: Floats, sizes: NDArray[np.intp], ranks: list[int]) -> Floats:
    """(draws, ranks): one value of each cluster is drawn, and of these the values of the ranks, counted from 1.

    `values` has one cluster after another.
    """
    starts, random, places = np.cumsum(sizes) - sizes, np.random.default_rng(0), [rank - 1 for rank in ranks]
    left = DRAWS if (sizes > 1).any() else 1  # there is but one way to draw single values
    found = []
    while left:
        size = min(left, max(1, CHUNK // len(sizes)))
        drawn = values[starts + (random.random((size, len(sizes))) * sizes).astype(np.intp)]  # (size, k)
        found.append(np.partition(drawn, places, axis=1)[:, places])
        left -= size
    return np.concatenate(found)


def outlier_threshold(values: ArrayLike) -> float:
    """The value beyond which a new one counts as an outlier: once in a hundred times among values like these.

    With n < 99 values it is the greatest, which a new one exceeds once in n + 1 times.
    """
    threshold = quantile(values, USUAL)
    return float(np.max(np.asarray(values, float))) if threshold is None else threshold


def coverage(predicted: ArrayLike, mos: ArrayLike, half: float | None) -> float | None:
    """The share of the images whose MOS lies within `half` of its prediction; None where there are no images."""
    errors = np.abs(np.asarray(mos, float) - np.asarray(predicted, float))
    if not len(errors):
        return None
    return float(np.mean(errors <= (np.inf if half is None else half)))
