"""How much may be spent: `runtime.teacher.max_usd`, which no request may pass, whatever it turns out to cost.

What a request costs is known from its answer. Until then as much is set aside for it as it can cost at most: an input
as large as the largest so far, and all the output tokens that it may use. Where that does not fit beside what others
have set aside, it waits for them, since they mostly cost less; where nothing is set aside and it still does not fit,
the run ends.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from analyzers.prices import cost
from analyzers.teacher import Usage
from pipeline.profiles import Prices

PAUSE = 0.05  # seconds between two looks at what others have given back


class BudgetSpent(Exception):  # noqa: N818 (nothing went wrong)
    """One more request could pass what may be spent."""

    def __init__(self, max_usd: float, spent: float, most: float) -> None:
        super().__init__(
            f"runtime.teacher.max_usd is {max_usd:g}, ${spent:.2f} are spent at most, and one more request may cost "
            f"${most:.4f}; everything answered is kept, and a later run with a higher one goes on from there"
        )


class SetAside(NamedTuple):
    """Money for so many requests, in USD."""

    requests: int
    usd: float


class Budget:
    """At most `max_usd` in all, of which `spent` is gone; None is no limit, and without `prices` all is free.

    `largest_input` and `max_output` are the tokens of one request at most, as far as is known.
    """

    def __init__(
        self,
        max_usd: float | None = None,
        *,
        prices: Prices | None = None,
        spent: float = 0.0,
        largest_input: int = 0,
        max_output: int = 0,
    ) -> None:
        self._max_usd, self._prices, self._spent = max_usd, prices, spent
        self._set_aside: list[SetAside] = []
        self._largest_input, self._max_output = largest_input, max_output
        self._lock = threading.Lock()

    def set_aside(self, wanted: int = 1, share: float = 1.0) -> SetAside:
        """Money for as many of the `wanted` requests as fit, at this `share` of the price; none while others have it.

        Raises:
            BudgetSpent: not one fits, and there is nobody to wait for.
        """
        with self._lock:
            most = self._most * share
            fit = wanted
            if self._max_usd is not None and most:
                left = self._max_usd - self._spent - sum(aside.usd for aside in self._set_aside)
                fit = max(0, min(wanted, int(left / most)))
                if not fit and not self._set_aside:
                    raise BudgetSpent(self._max_usd, self._spent, most)
            return self._keep(fit, fit * most)

    def hold(self, requests: int, share: float = 1.0) -> SetAside:
        """Money for requests that were sent before, fit or not."""
        with self._lock:
            return self._keep(requests, requests * self._most * share)

    def give_back(self, aside: SetAside) -> None:
        with self._lock:
            self._set_aside = [other for other in self._set_aside if other is not aside]

    @contextmanager
    def for_one(self, sleep: Callable[[float], None]) -> Iterator[None]:
        """Wait until there is money for a request, and keep it during the block."""
        while not (aside := self.set_aside()).requests:
            sleep(PAUSE)
        try:
            yield
        finally:
            self.give_back(aside)

    def spend(self, usage: Usage, share: float = 1.0) -> None:
        """What an answer took."""
        with self._lock:
            self._largest_input = max(self._largest_input, usage.input)
            self._spent += share * cost(self._prices, usage) if self._prices else 0.0

    def lose(self, share: float = 1.0) -> None:
        """A request was lost: it may have cost the most."""
        with self._lock:
            self._spent += self._most * share

    def _keep(self, requests: int, usd: float) -> SetAside:
        aside = SetAside(requests, usd)
        if requests:
            self._set_aside.append(aside)
        return aside

    @property
    def _most(self) -> float:
        return cost(self._prices, Usage(self._largest_input, self._max_output)) if self._prices else 0.0
