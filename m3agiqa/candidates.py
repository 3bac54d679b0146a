"""Scored candidates beside each other: the rank of each, by what the judge's card says of how sure an order is."""

from collections.abc import Sequence
from typing import NamedTuple

from m3agiqa.card import Card
from m3agiqa.errors import InputError
from m3agiqa.ranking import best, ranks
from m3agiqa.score import Score


class Ranked(NamedTuple):
    """A candidate among the others."""

    score: Score
    rank: int | None  # 1 is the best; those that cannot be told apart share one; None without a score
    best: float | None  # the probability to be the best of all; None without a score


def spread_of(card: Card, *, fast: bool) -> float:
    """What the judge's head learnt of how sure an order is.

    Raises:
        InputError: it had too few images for that.
    """
    spread = card.head_of(fast=fast).preference.spread
    if spread is None:
        raise InputError(f"the judge of {card.aspect} had too few images to learn how sure an order is: it cannot rank")
    return spread


def ranked(scores: Sequence[Score], spread: float) -> list[Ranked]:
    """The place of each among all, in the order in which they were given."""
    told = {row: score.score_0_5 for row, score in enumerate(scores) if score.score_0_5 is not None}
    values = list(told.values())
    found = dict(zip(told, zip(ranks(values, spread), best(values, spread), strict=True), strict=True))
    return [Ranked(score, *found.get(row, (None, None))) for row, score in enumerate(scores)]
