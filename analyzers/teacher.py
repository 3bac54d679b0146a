"""What a teacher that costs time or money is: it answers a Question, or says in one of four ways why it did not.

| raised     | means                                                  | what asking.py does                          |
|------------|--------------------------------------------------------|----------------------------------------------|
| TryAgain   | an error that passes: overload, timeout, a lost answer | asks again, after `wait` if it is set        |
| Refused    | this request cannot succeed; others may                | records it; stops where nothing was accepted |
| DailyQuota | nothing more today                                     | stops, everything kept                       |
| InputError | no request can succeed: key, model                     | stops at once                                |

An Answer is what was paid for, usable or not: `blocked` says why the model will not describe the image.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, Self
from zoneinfo import ZoneInfo

CUT = "MAX_TOKENS"  # the finish reason of an answer that did not fit
PACIFIC = ZoneInfo("America/Los_Angeles")  # where Google's day begins


@dataclass(frozen=True)
class Question:
    """One image, and the aspects that are to be explained, each with the MOS that people gave it (0 to 5)."""

    image_id: str
    path: Path
    sha256: str
    prompt: str
    mos: Mapping[str, float]

    def about(self, aspects: Iterable[str]) -> Self:
        """The same image, fewer aspects."""
        return replace(self, mos={aspect: self.mos[aspect] for aspect in aspects})


@dataclass(frozen=True)
class Usage:
    """Tokens, as the service counted them; thinking is billed as output."""

    input: int = 0
    output: int = 0
    thinking: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.input + other.input, self.output + other.output, self.thinking + other.thinking)

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """What came back, and what it took."""

    said: Any  # should be {aspect: explanation}
    finish_reason: str
    model_version: str  # what really served: retired models are rerouted silently
    usage: Usage
    blocked: str | None = None
    last: bool = False  # to ask again would bring the same words


class Known(Protocol):
    """Who has been asked: as much as it takes to find what was answered."""

    @property
    def tries(self) -> int:
        """How often it may answer in a way that cannot be used."""

    def key(self, question: Question) -> str:
        """A hash of everything that shapes the answer."""


class Teacher(Known, Protocol):
    """Who is asked, one question after the other."""

    def prepare(self, question: Question) -> Any:
        """All that can be done before it is the request's turn, so that it leaves at once when it is."""

    def ask(self, prepared: Any) -> Answer:
        """One request. Raises what the table above says."""


class PaidTeacher(Teacher, Protocol):
    """One that takes money for its tokens."""

    @property
    def max_output_tokens(self) -> int:
        """How many an answer may use, thinking included."""


class TryAgain(Exception):  # noqa: N818 (what to do says more than that it is an error)
    """An error that passes; `wait` is what the service asks for, in seconds.

    One that is `perhaps_image` may be met by a single image again and again, unlike an overload. Where a request was
    `lost`, it was sent, and may have been answered and billed without our seeing the answer.
    """

    def __init__(
        self, reason: str, wait: float | None = None, *, perhaps_image: bool = False, lost: bool = False
    ) -> None:
        super().__init__(reason)
        self.wait, self.perhaps_image, self.lost = wait, perhaps_image, lost


class Refused(Exception):  # noqa: N818 (the image's failure, or the settings')
    """The service does not take this request; `advice` is for whoever finds that it takes no other one either."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.advice = advice


class DailyQuota(Exception):  # noqa: N818 (nothing went wrong)
    """The day's requests are spent until `resumes`, in seconds since the epoch: where nobody says, midnight Pacific."""

    def __init__(self, now: float, resumes: float | None = None) -> None:
        resumes = next_day(now) if resumes is None else resumes
        seconds = int(resumes - now)
        local, utc = datetime.fromtimestamp(resumes, PACIFIC), datetime.fromtimestamp(resumes, UTC)
        super().__init__(
            f"the daily quota is spent and everything answered is kept; run it again after {local:%Y-%m-%d %H:%M} "
            f"Pacific ({utc:%Y-%m-%d %H:%M} UTC, in {seconds // 3600} h {seconds % 3600 // 60} min)"
        )


def next_day(now: float) -> float:
    """The next midnight Pacific after `now`, in seconds since the epoch."""
    today = datetime.fromtimestamp(now, PACIFIC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=1)).timestamp()  # wall-clock arithmetic: 23 or 25 hours when clocks change


def this_day(now: float) -> float:
    """The last midnight Pacific at or before `now`, in seconds since the epoch."""
    return datetime.fromtimestamp(now, PACIFIC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
