"""How sure of a pair's order the scores are: the spread of m3agiqa/ranking.py, and what it is worth on new pairs.

The spread is the one under which people's preferences on validation images, as their MOS tell them, are the likeliest.
Pairs are of one prompt, as they are where somebody chooses; where those are too few to learn from, any two images do.
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

LEAST = 100  # pairs: a few that happen to be in order, or not, would make every order certain, or none
MOST = 1000  # images of one group: half a million pairs tell the one number
AT_THE_END = 0.01  # of the logarithm's range: there was no likeliest one
LEAST_SPREAD, LARGEST_SPREAD = 1e-3, 1e3  # in points of 0 to 5: every pair certain, none told apart


class Pairs(NamedTuple):
    """Of each pair that people told apart, by how much the preferred image's score is the higher one."""

    ahead: Floats  # (P,)
    within_prompts: bool  # or any two images


def pairs_of(predicted: ArrayLike, mos: ArrayLike, prompts: ArrayLike) -> Pairs:
    """All pairs of one prompt that people told apart; of all images, where those are fewer than LEAST."""
    predicted, mos = finite(predicted, mos)
    within = np.concatenate([np.zeros(0), *_ahead(predicted, mos, members(prompts))])
    if len(within) >= LEAST:
        return Pairs(within, within_prompts=True)
    anywhere = _ahead(predicted, mos, [np.arange(len(mos))])
    return Pairs(np.concatenate([np.zeros(0), *anywhere]), within_prompts=False)


def spread_of(pairs: Pairs) -> float | None:
    """The likeliest spread, in points of the scores; None of too few pairs, or where there is no likeliest one."""
    if len(pairs.ahead) < LEAST or (pairs.ahead > 0).all():
        return None

    def unlikely(log_spread: float) -> float:
        return -float(special.log_ndtr(pairs.ahead / (math.sqrt(2) * math.exp(log_spread))).mean())

    bounds = math.log(LEAST_SPREAD), math.log(LARGEST_SPREAD)
    found = optimize.minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    at_the_end = min(found.x - bounds[0], bounds[1] - found.x) < AT_THE_END
    return None if at_the_end else math.exp(found.x)


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
