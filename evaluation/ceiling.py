"""How well anybody could do: the MOS is a mean over few raters, and nobody predicts their chance.

With s_i the raters' standard deviation on image i and n raters an image, s_i² / n is the variance of its
MOS about what infinitely many raters would say. Its mean, taken from the variance of the MOS over the images,
leaves the variance of the true scores; the share is the reliability of the MOS (classical test theory, Lord and
Novick 1968), and its square root the highest PLCC that is to be had, but by luck. For the SRCC, scores of that
variance are given such noise again and again, and compared with what comes out.
"""

import logging

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from evaluation.metrics import MIN_IMAGES

log = logging.getLogger(__name__)

DRAWS = 200


def ceiling_from_spread(mos: ArrayLike, std: ArrayLike, raters: int, *, seed: int) -> dict[str, float] | None:
    """The highest expected `srcc` and `plcc` for a MOS of `raters` raters an image, whose scores spread by `std`.

    None, with a warning, where too few images tell their spread, or it explains all of the MOS.
    """
    scores, spread = np.asarray(mos, float), np.asarray(std, float)
    known = np.isfinite(scores) & np.isfinite(spread)
    if known.sum() < max(MIN_IMAGES, len(scores) / 2):
        log.warning("ceiling: null, %d of %d images tell their raters' standard deviation", known.sum(), len(scores))
        return None
    scores, error = scores[known], spread[known] / np.sqrt(raters)
    reliability = 1 - np.mean(error**2) / scores.var(ddof=1) if np.ptp(scores) > 0 else 0.0
    if reliability <= 0:
        log.warning("ceiling: null, the raters' standard deviation explains all differences between the images")
        return None
    true = scores.mean() + np.sqrt(reliability) * (scores - scores.mean())
    random = np.random.default_rng(seed)
    srcc = np.mean([stats.spearmanr(true, true + random.normal(0, error)).statistic for _ in range(DRAWS)])
    return {"srcc": float(srcc), "plcc": float(np.sqrt(reliability))}
