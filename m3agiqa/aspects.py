"""What an image is judged on, and on which scale."""

from typing import Literal, get_args

Aspect = Literal["quality", "correspondence", "authenticity"]
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
MOS_RANGE = (0.0, 5.0)  # of every mean opinion score (MOS) and of every score
