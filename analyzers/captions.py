"""What a teacher gives: for each image its explanations, or why there are none, and what that took."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from analyzers.totals import Totals
from pipeline.profiles import Prices


@dataclass(frozen=True)
class Described:
    """What the teacher said of one image, or why it said nothing."""

    image_id: str
    explanations: Mapping[str, str] | None = None  # by aspect
    failure: str | None = None
    repeating: Collection[str] = ()  # aspects whose explanation repeats the score, and was kept all the same


@dataclass(frozen=True)
class Captions:
    """A teacher's work on a data set: image by image, sorted by image_id, and what that took."""

    images: Iterable[Described]
    totals: Totals = field(default_factory=Totals)
    prices: Prices | None = None
    saw_mos: bool | None = None  # whether it was shown the human scores, where that can be chosen
    usd_lost_at_most: float = 0.0  # what the requests whose answers were lost may have cost besides
