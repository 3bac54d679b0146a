"""Prediction intervals that hold without a model of the errors: split conformal prediction, by prompt.

The half width is a quantile of the absolute errors on images that no weight was trained on, the validation images
(Papadopoulos et al. 2002; Lei et al., JASA 2018, theorem 2.2): where a new image is drawn as they were, its MOS lies
within the interval with the probability that was asked for, whatever the errors' distribution.

Images of one prompt are hard or easy together, so 72 images of 12 prompts are no 72 draws. What is drawn is a prompt:
each has the same weight, and the price of not knowing the errors' distribution is paid for k prompts, not for n images
(CDF pooling, Dunn, Wasserman and Ramdas, JASA 2023). With few prompts that is wide, and with one image a prompt it is
the split conformal interval. The epoch was selected on the same validation images, which no theorem allows for; the
coverage on the test images shows what is left of the promise.
"""

import numpy as np
from numpy.typing import ArrayLike

USUAL = 0.99  # the share of values that are no outliers
LEVEL = 0.9  # the share of the images whose MOS the interval shall hold


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

    Without `clusters` each value is one of its own: then it is the ⌈(n + 1) level⌉-th smallest.
    """
    values = np.asarray(values, float)
    if not np.isfinite(values).all():
        raise ValueError("the values must be finite")
    names = np.arange(len(values)) if clusters is None else np.asarray(clusters)
    _, members, sizes = np.unique(names, return_inverse=True, return_counts=True)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(1 / sizes[members[order]])  # of k clusters, how many lie at or below each value
    enough = reached >= level * (len(sizes) + 1) - 1e-9  # 10 x 0.9 is not 9 in binary
    return float(values[order][enough.argmax()]) if enough.any() else None


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
