"""Asks a teacher many questions, several at once, until each is described or failed: the one loop that tries again.

Serves every teacher that costs time or money. Each answer is on the disk before its thread takes the next question;
there are a few threads more than requests at once, so that preparing and writing take no request's place. An error
that passes is met with patience: as long as the service asks for, else a random wait that grows.
Whatever ends the run early, also a signal, lets the requests that are under way finish, because they are paid for.
"""

import random
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
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

from analyzers.ledger import Ledger
from analyzers.limits import Limiter
from analyzers.teacher import Question, Teacher, TryAgain

# Only after so many attempts and so many seconds is the service taken to be down; a later run goes on from there.
MOST_ATTEMPTS, PATIENCE = 12, 600
BACKOFF = wait_random_exponential(multiplier=1, max=120)
SPARE = 4  # threads that prepare and write; one is enough for 20 answers a second
JITTER = 0.1  # seconds after a wait that the service asked for, so that not all come back at once


class Unavailable(Exception):  # noqa: N818
    """The service has not answered for a long time."""


class _Unusable(Exception):  # noqa: N818
    """An answer came, but some explanation in it cannot be used: ask again at once."""


class _Stopped(Exception):  # noqa: N818
    """The run is ending: wait for nothing more."""


class Asker:
    """A teacher at work: `concurrency` requests at once, within the limits."""

    def __init__(self, teacher: Teacher, ledger: Ledger, limiter: Limiter, concurrency: int) -> None:
        self._teacher, self._ledger, self._limiter = teacher, ledger, limiter
        self._threads, self._places = concurrency + SPARE, threading.Semaphore(concurrency)
        self._under_way: set[str] = set()
        self._turn = threading.Condition()
        self._stopping = threading.Event()
        self._end: Exception | None = None  # what ends the run

    def settle(self, questions: Iterable[Question]) -> Generator[Question]:
        """Each question once nothing of it is missing in the ledger, in the order in which that happens.

        Raises:
            DailyQuota, Unavailable, InputError: as the teacher says; what was answered until then is kept.
        """
        waiting = iter(questions)
        with ThreadPoolExecutor(self._threads) as pool:
            try:
                running = {pool.submit(self._settle, question) for question in islice(waiting, self._threads)}
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    settled = [future.result() for future in done]
                    running |= {pool.submit(self._settle, question) for question in islice(waiting, len(done))}
                    yield from settled
            except _Stopped as stopped:
                raise self._end or stopped from None
            finally:
                self._stopping.set()

    def _settle(self, question: Question) -> Question:
        with self._alone(self._teacher.key(question)):
            return self._settle_alone(question)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """One thread at a time: the same picture in two rows of a data set is asked about, and paid for, once."""
        with self._turn:
            self._turn.wait_for(lambda: key not in self._under_way)
            self._under_way.add(key)
        try:
            yield
        finally:
            with self._turn:
                self._under_way.remove(key)
                self._turn.notify_all()

    def _settle_alone(self, question: Question) -> Question:
        patiently = Retrying(
            retry=retry_if_exception_type((TryAgain, _Unusable)),
            wait=_pause,
            stop=stop_all(stop_after_attempt(MOST_ATTEMPTS), stop_after_delay(PATIENCE)),
            sleep=self._sleep,
            retry_error_callback=_give_up,
        )
        attempts = 0
        for attempt in patiently:
            with attempt:
                if missing := self._ledger.of(question).missing:
                    attempts += 1
                    self._ask(question.about(missing), attempts)
                    attempts = 0
                if self._ledger.of(question).missing:
                    raise _Unusable
        return question

    def _ask(self, question: Question, attempts: int) -> None:
        prepared = self._teacher.prepare(question)
        with self._places:
            self._sleep(0)
            spent = self._limiter.acquire(self._sleep)
            self._sleep(0)
            start = time.monotonic()
            try:
                answer = self._teacher.ask(prepared)
            except TryAgain as error:
                if error.wait is not None:
                    self._limiter.hold(error.wait)
                raise
            except Exception as error:
                self._end = error
                self._stopping.set()  # before another thread takes the place
                raise
            seconds = time.monotonic() - start
        self._limiter.settle(spent, answer.usage.input)
        self._ledger.record(question, answer, attempts=attempts, seconds=seconds, at=time.time())

    def _sleep(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise _Stopped


def _pause(state: RetryCallState) -> float:
    error = _last_error(state)
    if not isinstance(error, TryAgain):  # an unusable answer
        return 0.0
    return BACKOFF(state) if error.wait is None else error.wait + random.uniform(0, JITTER)  # noqa: S311


def _give_up(state: RetryCallState) -> NoReturn:
    raise Unavailable(
        f"no answer after {state.attempt_number} attempts, the last one: {_last_error(state)}; everything "
        "answered is kept, and a later run goes on from there"
    )


def _last_error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
