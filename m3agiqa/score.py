"""What was found of an image: on the scale on which people rated the training images, and on 0 to 5."""

from dataclasses import dataclass
from typing import NamedTuple

from m3agiqa.aspects import MOS_RANGE, Scale


class Interval(NamedTuple):
    """From where to where, in points of a scale."""

    low: float
    high: float


@dataclass(frozen=True)
class Score:
    """What one aspect of one image was found to be. Without a score, `status` says why, and all else is None.

    `score` and `interval` are in points of `scale`, as the raters' own are. Everything is learnt and computed on 0 to
    5, and `score_0_5` and `interval_0_5` are that: to compare with scores of another scale.
    """

    aspect: str
    status: str  # "ok", "refused: …" (cannot be asked for) or "failed: …" (this image)
    score: float | None = None
    interval: Interval | None = None  # holds the MOS in 90 % of cases
    word: str | None = None  # None, too, where the MLLM's word does not tell (m3agiqa/card.py)
    description: str | None = None
    warnings: tuple[str, ...] = ()  # why not to trust the score, see m3agiqa/warnings/
    scale: Scale = MOS_RANGE  # the data set's own
    percentile: float | None = None  # the share of the training images that people rated lower, 0 to 100

    @property
    def score_0_5(self) -> float | None:
        """The score, where 0 is the worst and 5 the best."""
        return None if self.score is None else _moved(self.score, self.scale, MOS_RANGE)

    @property
    def interval_0_5(self) -> Interval | None:
        """The interval, where 0 is the worst and 5 the best."""
        return (
            None if self.interval is None else Interval(*(_moved(end, self.scale, MOS_RANGE) for end in self.interval))
        )


def on_scale(value: float, scale: Scale) -> float:
    """A value on 0 to 5, in points of `scale`."""
    return _moved(value, MOS_RANGE, scale)


def _moved(value: float, given: Scale, wanted: Scale) -> float:
    if given == wanted:
        return value  # to the last bit
    return wanted.low + (value - given.low) * (wanted.high - wanted.low) / (given.high - given.low)
