"""What asking would take, before anything is paid: tokens and time.

Input tokens are counted by the service itself on a sample, which costs nothing. Output tokens nobody can count before:
they are the mean of the answers so far, or, before the first one, at most what the settings allow.
"""

from collections.abc import Callable, Iterable
from itertools import islice

from analyzers.teacher import Question

SAMPLE = 8


def sampled_input(
    questions: Iterable[Question], number: int, count_tokens: Callable[[Question], int]
) -> tuple[int, int]:
    """Input tokens of this `number` of requests, counted on a few that are evenly spread, and on how many."""
    step = max(1, number // SAMPLE)
    counts = [count_tokens(question) for question in islice(islice(questions, step // 2, None, step), SAMPLE)]
    return round(sum(counts) / len(counts) * number), len(counts)


def duration(
    requests: int,
    input_tokens: int,
    *,
    requests_per_minute: int | None,
    input_tokens_per_minute: int | None,
    requests_per_day: int | None,
) -> str:
    """How long the limits make it last; None is no limit."""
    if requests_per_day and requests > requests_per_day:
        return f"{-(-requests // requests_per_day)} days"
    minutes = max(
        requests / requests_per_minute if requests_per_minute else 0.0,
        input_tokens / input_tokens_per_minute if input_tokens_per_minute else 0.0,
    )
    return f"{int(minutes // 60)} h {minutes % 60:.1f} min"
