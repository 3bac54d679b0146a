"""Patience with a service: the one loop that every call to it goes through.

An error that passes is met with as long a wait as the service asks for, else with a random one that grows.
"""

import random
import time
from collections.abc import Callable
from typing import NoReturn

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    stop_all,
    wait_random_exponential,
)

from analyzers.teacher import TryAgain

# Only after so many attempts and so many seconds is the service taken to be down; a later run goes on from there.
MOST_ATTEMPTS, PATIENCE = 12, 600
BACKOFF = wait_random_exponential(multiplier=1, max=120)
JITTER = 0.1  # seconds after a wait that the service asked for, so that not all come back at once


class Unavailable(Exception):  # noqa: N818
    """The service has not answered for a long time; `last` is what it said."""

    def __init__(self, attempts: int, last: BaseException | None) -> None:
        super().__init__(
            f"no answer after {attempts} attempts, the last one: {last}; everything answered is kept, and a later run "
            "goes on from there"
        )
        self.last, self.perhaps_image = last, isinstance(last, TryAgain) and last.perhaps_image


class Unusable(Exception):  # noqa: N818
    """An answer came, but some explanation in it cannot be used: ask again at once."""


def patiently(sleep: Callable[[float], None] = time.sleep) -> Retrying:
    """Attempts, as many as TryAgain and Unusable ask for, with `sleep` between them.

    Raises:
        Unavailable: there were enough of them. Any other error goes through.
    """
    return Retrying(
        retry=retry_if_exception_type((TryAgain, Unusable)),
        wait=_pause,
        stop=stop_all(stop_after_attempt(MOST_ATTEMPTS), stop_after_delay(PATIENCE)),
        sleep=sleep,
        retry_error_callback=_give_up,
    )


def _pause(state: RetryCallState) -> float:
    error = _last_error(state)
    if not isinstance(error, TryAgain):  # an unusable answer
        return 0.0
    return BACKOFF(state) if error.wait is None else error.wait + random.uniform(0, JITTER)  # noqa: S311


def _give_up(state: RetryCallState) -> NoReturn:
    raise Unavailable(state.attempt_number, _last_error(state))


def _last_error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
