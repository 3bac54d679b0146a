"""How sure of a pair's order the scores are: the spread of m3agiqa/ranking.py, and what it is worth on new pairs.

The spread is the one under which people's preferences on validation images, as their MOS tell them, are the likeliest.
Pairs are of one prompt, as they are where somebody chooses; where no prompt has two images, any two are a pair.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from evaluation.choices import members
from evaluation.metrics import Floats, finite
from m3agiqa.ranking import SURE

MOST = 1000  # images of one group: half a million pairs tell the one number
LEAST_SPREAD, LARGEST_SPREAD = 1e-3, 1e3  # in points of 0 to 5: every pair certain, none told apart


class Pairs(NamedTuple):
    """Of each pair that people told apart, by how much the preferred image's score is the higher one."""

    ahead: Floats  # (P,)
    within_prompts: bool  # or any two images


def pairs_of(predicted: ArrayLike, mos: ArrayLike, prompts: ArrayLike) -> Pairs:
    """All pairs of one prompt; of all images, where no prompt has two that people told apart."""
    predicted, mos = finite(predicted, mos)
    within = np.concatenate([np.zeros(0), *_ahead(predicted, mos, members(prompts))])
    if len(within):
        return Pairs(within, within_prompts=True)
    anywhere = _ahead(predicted, mos, [np.arange(len(mos))])
    return Pairs(np.concatenate([np.zeros(0), *anywhere]), within_prompts=False)


def spread_of(pairs: Pairs) -> float | None:
    """The likeliest spread, in points of the scores; None without pairs."""
    if not len(pairs.ahead):
        return None

    def unlikely(log_spread: float) -> float:
        return -float(special.log_ndtr(pairs.ahead / (math.sqrt(2) * math.exp(log_spread))).mean())

    bounds = math.log(LEAST_SPREAD), math.log(LARGEST_SPREAD)
    found = optimize.minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return math.exp(found.x)


def judged(pairs: Pairs, spread: float | None) -> dict[str, Any] | None:
    """What the spread is worth on pairs that it was not fitted on; None without pairs or spread.

    `brier` is the mean squared error of the probabilities (0.25: always one half); `told` the share of the pairs that
    are told apart, with a probability of `SURE` or more, and `right` the share of those in people's order.
    """
    if spread is None or not len(pairs.ahead):
        return None
    sure = special.ndtr(pairs.ahead / (math.sqrt(2) * spread))  # of what people prefer
    told = np.maximum(sure, 1 - sure) >= SURE
    right = float(np.mean(sure[told] > 0.5)) if told.any() else None
    return {
        "pairs": len(sure),
        "within_prompts": pairs.within_prompts,
        "brier": float(np.mean((1 - sure) ** 2)),
        "told": float(told.mean()),
        "right": right,
    }


def _ahead(predicted: Floats, mos: Floats, groups: Iterable[NDArray[Any]]) -> Iterator[Floats]:
    draw = np.random.default_rng(0)
    for rows in groups:
        some = rows if len(rows) <= MOST else np.sort(draw.choice(rows, MOST, replace=False))
        first, second = np.triu_indices(len(some), 1)
        apart = np.sign(mos[some[first]] - mos[some[second]])
        yield ((predicted[some[first]] - predicted[some[second]]) * apart)[apart != 0]
