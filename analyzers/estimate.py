"""What asking would take, before anything is paid: tokens and time.

Input tokens are counted by the service itself on a sample, which costs nothing. Output tokens nobody can count before:
what they will be, answers tell (forecast.py).
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from analyzers.limits import Limits
from analyzers.patience import patiently
from analyzers.teacher import Question, Refused

SAMPLE = 8


class Sampled(NamedTuple):
    """Input tokens of some requests, as a few of them tell."""

    tokens: int  # of all
    counted: int  # on how many


def sampled_input(questions: Iterable[Question], number: int, count_tokens: Callable[[Question], int]) -> Sampled:
    """Input tokens of this `number` of requests, counted on a few that are evenly spread. Raises as input_tokens."""
    step = max(1, number // SAMPLE)
    counts = input_tokens(islice(islice(questions, step // 2, None, step), SAMPLE), count_tokens)
    return Sampled(round(sum(counts) / len(counts) * number), len(counts))


def input_tokens(questions: Iterable[Question], count_tokens: Callable[[Question], int]) -> list[int]:
    """Input tokens of each question that the service takes.

    Raises:
        Refused: it takes none of them.
        DailyQuota, Unavailable, InputError: as the service says.
    """
    counts, refusal = [], None
    for question in questions:
        try:
            counts.append(patiently()(count_tokens, question))
        except Refused as refused:
            refusal = refused
    if refusal and not counts:
        raise refusal
    return counts


def duration(requests: int, input_tokens: int, limits: Limits) -> str:
    """How long the limits make it last."""
    if limits.requests_per_day and requests > limits.requests_per_day:
        return f"{-(-requests // limits.requests_per_day)} days"
    minutes = max(
        requests / limits.requests_per_minute if limits.requests_per_minute else 0.0,
        input_tokens / limits.input_tokens_per_minute if limits.input_tokens_per_minute else 0.0,
    )
    return f"{int(minutes // 60)} h {minutes % 60:.1f} min"
