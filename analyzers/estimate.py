"""What asking would take, before anything is paid: tokens and time.

Input tokens are counted by the service itself on a sample, which costs nothing. Output tokens nobody can count before:
they are the mean of the answers so far, or, before the first one, at most what the settings allow.
"""

from collections.abc import Callable, Sequence

from analyzers.teacher import Question

SAMPLE = 8


def sampled_input(questions: Sequence[Question], count_tokens: Callable[[Question], int]) -> tuple[int, int]:
    """Input tokens of all these requests, counted on a few of all prompt lengths, and on how many."""
    by_length = sorted(questions, key=lambda question: (len(question.prompt), question.image_id))
    step = max(1, len(by_length) // SAMPLE)
    sample = by_length[step // 2 :: step][:SAMPLE]
    return round(sum(map(count_tokens, sample)) / len(sample) * len(questions)), len(sample)


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
