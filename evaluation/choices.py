"""What choosing by a score comes to: pairs of one prompt in people's order, and the best image of each prompt.

What matters to whoever makes several images of a prompt and keeps one. Generators' and prompts' own levels, which a
correlation over all images rewards, count for nothing here.
"""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evaluation.metrics import Floats, finite

log = logging.getLogger(__name__)


def pairs_within(predicted: ArrayLike, mos: ArrayLike, groups: ArrayLike) -> float | None:
    """Share of the pairs within a group (a prompt) that people told apart, and that the scores put in their order.

    Equal scores count half. 0.5 is chance.
    """
    predicted, mos = finite(predicted, mos)
    right, pairs = 0.0, 0.0
    for rows in members(groups):
        apart = _pairs(len(rows)) - _tied(mos[rows])
        if apart:
            tau = stats.kendalltau(predicted[rows], mos[rows]).statistic if np.ptp(predicted[rows]) else 0.0
            concordant_less_discordant = tau * np.sqrt(apart * (_pairs(len(rows)) - _tied(predicted[rows])))
            right += (apart + concordant_less_discordant) / 2
            pairs += apart
    if not pairs:
        log.warning("pairs within prompts: null, no prompt has two images of different MOS")
        return None
    return float(right / pairs)


class Chosen(NamedTuple):
    """What picking the highest score of each group reaches."""

    share: float  # of the groups whose image of the highest MOS is picked
    chance: float  # the share that picking blindly reaches
    groups: int  # that have images of different MOS


def best_within(predicted: ArrayLike, mos: ArrayLike, groups: ArrayLike) -> Chosen | None:
    """How often the highest score of a group (a prompt) is that of the image with the highest MOS.

    Where several have the highest score, one of them is drawn. None where no group has images of different MOS.
    """
    predicted, mos = finite(predicted, mos)
    told = [rows for rows in members(groups) if np.ptp(mos[rows])]
    if not told:
        log.warning("best of each prompt: null, no prompt has two images of different MOS")
        return None
    best = [mos[rows] == mos[rows].max() for rows in told]
    picked = [predicted[rows] == predicted[rows].max() for rows in told]
    share = np.mean([is_best[chosen].mean() for is_best, chosen in zip(best, picked, strict=True)])
    return Chosen(float(share), float(np.mean([is_best.mean() for is_best in best])), len(told))


def members(groups: ArrayLike) -> Iterator[NDArray[Any]]:
    """The rows of each group, in the order in which the groups come."""
    codes, names = pd.factorize(np.asarray(groups, object), use_na_sentinel=False)
    order = np.argsort(codes, kind="stable")
    yield from np.split(order, np.searchsorted(codes[order], np.arange(1, len(names))))[: len(names)]


def _pairs(count: int) -> float:
    return count * (count - 1) / 2


def _tied(values: Floats) -> float:
    """The pairs with equal values."""
    return sum(_pairs(count) for count in np.unique(values, return_counts=True)[1])
