"""How fast a teacher may be asked: requests and input tokens a minute, requests a day.

Buckets of tokens that come back one window after they were spent, not little by little: so no window, wherever it
begins, sees more than the bucket holds, and nothing of it is wasted. Their minute is a second longer than the
service's, because requests arrive later than they start; that costs 1.6 % of the rate at most.

A day is Google's, from midnight to midnight Pacific. What was spent is also noted in a file, so that a process that
is killed and started again does not begin with full buckets.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from analyzers.teacher import DailyQuota, this_day
from m3agiqa.errors import InputError
from m3agiqa.files import atomic

MINUTE = 61.0


class Limits(NamedTuple):
    """What a service allows; None is no limit."""

    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    requests_per_day: int | None = None


NO_LIMITS = Limits()


@dataclass
class Spent:
    """Tokens that left a bucket."""

    at: float
    amount: int
    returned: bool = False


class Bucket:
    """At most `size` tokens in any `window` seconds; None is no limit."""

    def __init__(self, size: int | None, window: float = MINUTE) -> None:
        self.size, self.window = size, window
        self._spent: deque[Spent] = deque()  # oldest first
        self._sum = 0

    def pause(self, now: float, amount: int) -> float:
        """Seconds until `amount` may be spent."""
        if self.size is None:
            return 0.0
        while self._spent and self._spent[0].at + self.window <= now:
            oldest = self._spent.popleft()
            oldest.returned = True
            self._sum -= oldest.amount
        excess, pause = self._sum + amount - self.size, 0.0
        for spent in self._spent:
            if excess <= 0:
                break
            excess -= spent.amount
            pause = spent.at + self.window - now
        return pause

    def spend(self, now: float, amount: int) -> Spent:
        spent = Spent(now, amount)
        if self.size is not None:
            self._spent.append(spent)
            self._sum += amount
        return spent

    def correct(self, spent: Spent, amount: int) -> None:
        """`spent` turned out to be another amount."""
        if not spent.returned:
            self._sum += amount - spent.amount
        spent.amount = amount


class Limiter:
    """Lets requests through, in the order in which they come, no faster than the limits; None is no limit.

    A request's input tokens are known only from its answer. Until then it is held to be as large as the largest so
    far, at first `tokens_a_request`.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int | None,
        input_tokens_per_minute: int | None,
        requests_per_day: int | None,
        tokens_a_request: int,
        notes: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._requests, self._tokens = Bucket(requests_per_minute), Bucket(input_tokens_per_minute)
        self._per_day, self._today, self._day = requests_per_day, 0, this_day(clock())
        self._largest, self._held_until, self._clock = tokens_a_request, 0.0, clock
        self._queue, self._lock = threading.Lock(), threading.Lock()
        self._notes = notes
        self._recall()

    def acquire(self, sleep: Callable[[float], object] = time.sleep) -> Spent:
        """Wait for a request's turn. Raises DailyQuota when the day has no more."""
        with self._queue:  # one waits for the buckets, the others behind it
            while True:
                with self._lock:
                    now = self._clock()
                    pause = self._pause(now)
                    if not pause:
                        return self._spend(now)
                sleep(pause)

    def settle(self, spent: Spent, tokens: int) -> None:
        """What a request really took."""
        with self._lock:
            self._largest = max(self._largest, tokens)
            self._tokens.correct(spent, tokens)

    def hold(self, seconds: float) -> None:
        """Let nothing through for so long: the service says that it is too much."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + seconds)

    def _pause(self, now: float) -> float:
        """Seconds until one more request fits, as things stand."""
        if (day := this_day(now)) != self._day:
            self._day, self._today = day, 0
        if self._per_day is not None and self._today >= self._per_day:
            raise DailyQuota(now)
        if self._tokens.size is not None and self._largest > self._tokens.size:
            raise InputError(
                f"runtime.teacher.input_tokens_per_minute is {self._tokens.size}, less than the {self._largest} "
                "of one request"
            )
        pauses = self._requests.pause(now, 1), self._tokens.pause(now, self._largest), self._held_until - now
        return max(0.0, *pauses)

    def _spend(self, now: float) -> Spent:
        with self._notes.open("a", encoding="ascii") as notes:
            notes.write(f"{now:.3f} {self._largest}\n")
        self._today += 1
        self._requests.spend(now, 1)
        return self._tokens.spend(now, self._largest)

    def _recall(self) -> None:
        """Take up what earlier processes spent, and forget what no longer counts."""
        now = self._clock()
        with atomic(self._notes) as temporary, temporary.open("w", encoding="ascii") as kept:
            for at, amount in _read(self._notes):
                then = min(at, now)
                if then > now - MINUTE:
                    self._requests.spend(then, 1)
                    self._tokens.spend(then, amount)
                if then >= self._day:
                    self._today += 1
                if then >= min(self._day, now - MINUTE):
                    kept.write(f"{then:.3f} {amount}\n")


def _read(notes: Path) -> Iterator[tuple[float, int]]:
    """The notes' lines; a kill may have torn the last one."""
    if notes.exists():
        with notes.open(encoding="ascii") as lines:
            for line in lines:
                if line.endswith("\n"):
                    at, amount = line.split()
                    yield float(at), int(amount)
