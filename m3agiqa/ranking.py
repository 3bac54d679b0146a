"""Which of several candidates people would call the best, and how sure of that one may be.

Thurstone's case V (Psychological Review 1927): what people think of an image lies around its score, as a normal
variable of its own with the same spread for all. The spread is the judge's, fitted on pairs of images that it did not
learn from (evaluation/preference.py) and written in its card. One number, so that two candidates and twenty are told
apart by the same rule.
"""

import math
from collections.abc import Sequence

import torch

SURE = 0.75  # from which probability on one of two counts as told apart
GRID = 2001  # points of the integral; twice as many change no digit of 12
REACH = 9.0  # spreads beyond the highest score: farther the best of a million candidates does not lie
AT_ONCE = 1000  # candidates


def preferred(first: float, second: float, spread: float) -> float:
    """The probability that people prefer the first of two images, from their scores.

    Swapped it is one minus that, to the last bit.

    Args:
        first: its score, in points of the scale of `spread`.
        second: the other's.
        spread: of what people think around one score, more than 0.
    """
    sure = 0.5 * math.erfc(-abs(first - second) / (2 * spread))  # of the higher one: 0.5 to 1
    return sure if first >= second else 1 - sure


def best(scores: Sequence[float], spread: float) -> list[float]:
    """The probability of each candidate to be the best of all; they add up to 1."""
    if not scores:
        return []
    highest = max(scores)
    near = [score for score in scores if score > highest - 2 * REACH * spread]  # of the others, none is the best
    found = iter(_shares(near, spread))
    return [next(found) if score > highest - 2 * REACH * spread else 0.0 for score in scores]


def _shares(scores: Sequence[float], spread: float) -> list[float]:
    points = torch.tensor(scores, dtype=torch.float64) / spread  # (N,)
    at = torch.linspace(-REACH, REACH, GRID, dtype=torch.float64) + points.max()  # (G,)
    below = sum((torch.special.log_ndtr(at - some[:, None]).sum(dim=0) for some in points.split(AT_ONCE)), at * 0)
    likely = [_where_all_others_are_below(at - some[:, None], below) for some in points.split(AT_ONCE)]
    found = torch.cat(likely)  # (N,)
    shares: list[float] = (found / found.sum()).tolist()
    return shares


def _where_all_others_are_below(away: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """(n, G) how far points lie above candidates, (G,) the log of all being below -> (n,), up to a factor."""
    shares: torch.Tensor = (below - torch.special.log_ndtr(away) - away.square() / 2).exp().sum(dim=1)
    return shares


def ranks(scores: Sequence[float], spread: float, sure: float = SURE) -> list[int]:
    """The rank of each candidate: one more than there are others that people prefer to it with a probability of `sure`.

    So candidates that cannot be told apart share a rank, and a higher score never has a worse one.
    """
    ordered = sorted(scores)
    return [1 + _that_beat(score, ordered, spread, sure) for score in scores]


def _that_beat(score: float, ordered: Sequence[float], spread: float, sure: float) -> int:
    """By bisection: who beats it stands at the end."""
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if preferred(ordered[middle], score, spread) >= sure:
            high = middle
        else:
            low = middle + 1
    return len(ordered) - low
