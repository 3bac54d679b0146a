"""Prediction intervals that hold without a model of the errors: split conformal prediction.

The half width is a quantile of the absolute errors on images that no weight was trained on, the validation images
(Papadopoulos et al. 2002; Lei et al., JASA 2018, theorem 2.2): where a new image is drawn as they were, its MOS lies
within the interval with the probability that was asked for, whatever the errors' distribution. Two things keep the
promise from being exact here, and coverage on the test images shows what is left of it: the epoch was selected on the
same validation images, and images of one prompt are not independent.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.9  # the share of the images whose MOS the interval shall hold


def half_width(predicted: ArrayLike, mos: ArrayLike, level: float = LEVEL) -> float | None:
    """Half the width of the interval around a prediction, in points of the MOS scale.

    It is the ⌈(n + 1) level⌉-th smallest absolute error; None where n is too small for that (fewer than 9 images at
    0.9): only the whole scale is safe then.
    """
    return quantile(np.abs(np.asarray(mos, float) - np.asarray(predicted, float)), level)


def quantile(values: ArrayLike, level: float) -> float | None:
    """What a further value does not exceed with probability `level`; None where there are too few values to say."""
    values = np.sort(np.asarray(values, float))
    if not np.isfinite(values).all():
        raise ValueError("the values must be finite")
    place = math.ceil((len(values) + 1) * level - 1e-9)  # 10 x 0.9 is not 9 in binary
    return float(values[place - 1]) if place <= len(values) else None


def coverage(predicted: ArrayLike, mos: ArrayLike, half: float | None) -> float | None:
    """The share of the images whose MOS lies within `half` of its prediction; None where there are no images."""
    errors = np.abs(np.asarray(mos, float) - np.asarray(predicted, float))
    if not len(errors):
        return None
    return float(np.mean(errors <= (np.inf if half is None else half)))
