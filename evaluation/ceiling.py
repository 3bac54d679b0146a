"""How well anybody could do: the MOS is a mean over few raters, and nobody predicts their chance.

With s_i the raters' standard deviation on image i and n raters an image, s_i² / n is the variance of its
MOS about what infinitely many raters would say. Its mean, taken from the variance of the MOS over the images,
leaves the variance of the true scores; the share is the reliability of the MOS (classical test theory, Lord and
Novick 1968), and its square root the highest PLCC that is to be had, but by luck. For the SRCC, scores of that
variance are given such noise again and again, and compared with what comes out.

That holds where each MOS is the plain mean of the n scores that s_i is the deviation of (the one with n - 1), on one
scale, and the raters err apart from each other. MOS that were standardised after they were averaged have another scale
than the spread beside them: there is no ceiling then. Where the same raters saw every image, a rater who is stricter
than others moves all MOS alike, which is no error of their order, but does count in s_i: the ceiling is a little low.
docs/data_sets.md goes through the data sets.
"""

import logging

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from evaluation import metrics
from evaluation.metrics import MIN_IMAGES
from m3agiqa.aspects import MOS_RANGE

log = logging.getLogger(__name__)

DRAWS = 200
ROUNDING = 0.01  # in points: labels have few digits


def ceiling(test: pd.DataFrame, raters: int | None, *, averaged: bool, seed: int) -> dict[str, float | None]:
    """What the noise-free truth reaches, where it is known, and what the raters' spread leaves, where their number is.

    `test` has mos, truth and, where the labels have it, std, `averaged` says whether that is the deviation of the very
    scores that a MOS is the mean of.
    """
    truth = metrics.srcc(test["truth"], test["mos"]) if test["truth"].notna().all() else None
    found: dict[str, float] = {}
    if raters and not averaged:
        log.warning("ceiling: null, the raters' standard deviation is not of the scores that these MOS are the mean of")
    elif raters and "std" in test:
        found = ceiling_from_spread(test["mos"], test["std"], raters, seed=seed) or {}
    return {"srcc": truth, "srcc_from_spread": found.get("srcc"), "plcc_from_spread": found.get("plcc")}


def ceiling_from_spread(mos: ArrayLike, std: ArrayLike, raters: int, *, seed: int) -> dict[str, float] | None:
    """The highest expected `srcc` and `plcc` for a MOS of `raters` raters an image, whose scores spread by `std`.

    None, with a warning, where too few images tell their spread, no scores on the scale could spread so, or it explains
    all of the MOS.
    """
    scores, spread = np.asarray(mos, float), np.asarray(std, float)
    known = np.isfinite(scores) & np.isfinite(spread)
    if known.sum() < max(MIN_IMAGES, len(scores) / 2):
        log.warning("ceiling: null, %d of %d images tell their raters' standard deviation", known.sum(), len(scores))
        return None
    scores, spread = scores[known], spread[known]
    if impossible := int((spread**2 > _most(scores, raters)).sum()):
        log.warning("ceiling: null, on %d images no scores have this mean and standard deviation", impossible)
        return None
    error = spread / np.sqrt(raters)
    reliability = 1 - np.mean(error**2) / scores.var(ddof=1) if np.ptp(scores) > 0 else 0.0
    if reliability <= 0:
        log.warning("ceiling: null, the raters' standard deviation explains all differences between the images")
        return None
    true = scores.mean() + np.sqrt(reliability) * (scores - scores.mean())
    random = np.random.default_rng(seed)
    srcc = np.mean([stats.spearmanr(true, true + random.normal(0, error)).statistic for _ in range(DRAWS)])
    return {"srcc": float(srcc), "plcc": float(np.sqrt(reliability))}


def _most(mean: metrics.Floats, raters: int) -> metrics.Floats:
    """The greatest variance of `raters` scores of MOS_RANGE with this mean (Bhatia and Davis 2000)."""
    low, high = MOS_RANGE[0] - ROUNDING, MOS_RANGE[1] + ROUNDING
    most: metrics.Floats = (mean - low) * (high - mean) * raters / max(raters - 1, 1)
    return most
