"""What an image is judged on, and on which scale."""

from typing import Literal, NamedTuple, get_args


class Scale(NamedTuple):
    """Where scores lie, from the worst to the best."""

    low: float
    high: float


Aspect = Literal["quality", "correspondence", "authenticity"]
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
MOS_RANGE = Scale(0.0, 5.0)  # of every mean opinion score (MOS) and of every score
