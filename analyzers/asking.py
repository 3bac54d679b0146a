"""Asks a teacher many questions, several at once, until each is described or failed.

Serves every teacher that costs time or money. Each answer is on the disk before its thread takes the next question;
there are a few threads more than requests at once, so that preparing and writing take no request's place.
Whatever ends the run early, also a signal, lets the requests that are under way finish, because they are paid for.

A service may refuse one request and take all others. Whose fault that is, the image's or the settings', is known as
soon as it has accepted one: until then it is asked one question at a time, and what it refused is put aside.
"""

import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice

from analyzers.ledger import Ledger
from analyzers.limits import Limiter
from analyzers.patience import Unusable, patiently
from analyzers.teacher import Question, Refused, Teacher, TryAgain
from m3agiqa.errors import InputError

SPARE = 4  # threads that prepare and write; one is enough for 20 answers a second
MOST_REFUSED = 4  # questions, before any is accepted: then it is not the images


class _Stopped(Exception):  # noqa: N818
    """The run is ending: wait for nothing more."""


class Asker:
    """A teacher at work: `concurrency` requests at once, within the limits."""

    def __init__(
        self, teacher: Teacher, ledger: Ledger, limiter: Limiter, concurrency: int, *, accepted: bool = False
    ) -> None:
        self._teacher, self._ledger, self._limiter = teacher, ledger, limiter
        self._threads, self._places = concurrency + SPARE, threading.Semaphore(concurrency)
        self._accepted = accepted  # whether the service has ever taken a request with these settings
        self._aside: list[tuple[Question, Refused, int]] = []  # refused before that, after so many attempts
        self._under_way: set[str] = set()
        self._turn = threading.Condition()
        self._stopping = threading.Event()
        self._end: Exception | None = None  # what ends the run

    def settle(self, questions: Iterable[Question]) -> Generator[Question]:
        """Each question once nothing of it is missing in the ledger, in the order in which that happens.

        Raises:
            DailyQuota, Unavailable, InputError: as the teacher says, or because the service refused the first
                questions and accepted none; what was answered until then is kept.
        """
        waiting = iter(questions)
        running: set[Future[Question | None]] = set()
        with ThreadPoolExecutor(self._threads) as pool:
            try:
                while True:
                    room = (self._threads if self._accepted else 1) - len(running)
                    running |= {pool.submit(self._settle, question) for question in islice(waiting, room)}
                    if not running:
                        break
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from [question for future in done if (question := future.result())]
                    if self._accepted:
                        yield from self._take_up()
                self._check_accepted(1)
            except _Stopped as stopped:
                raise self._end or stopped from None
            finally:
                self._stopping.set()

    def _settle(self, question: Question) -> Question | None:
        """The question, or None where it is put aside."""
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

    def _settle_alone(self, question: Question) -> Question | None:
        attempts = 0
        try:
            for attempt in patiently(self._sleep):
                with attempt:
                    if missing := self._ledger.of(question).missing:
                        attempts += 1
                        self._ask(question.about(missing), attempts)
                        attempts = 0
                    if self._ledger.of(question).missing:
                        raise Unusable
        except Refused as refused:
            return self._refuse(question, refused, attempts)
        return question

    def _refuse(self, question: Question, refused: Refused, attempts: int) -> Question | None:
        """It is the image's failure, once the service is known to accept others."""
        if not self._accepted:
            self._aside.append((question, refused, attempts))
            self._check_accepted(MOST_REFUSED)
            return None
        if missing := self._ledger.of(question).missing:
            self._ledger.refuse(question.about(missing), str(refused), attempts=attempts, at=time.time())
        return question

    def _take_up(self) -> Iterator[Question]:
        while self._aside:
            if question := self._refuse(*self._aside.pop(0)):
                yield question

    def _check_accepted(self, most: int) -> None:
        """Raises InputError where `most` questions are put aside."""
        if len(self._aside) >= most:
            _, refused, _ = self._aside[-1]
            raise InputError(f"{refused}; nothing was accepted yet ({refused.advice})")

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
            except Refused:
                raise
            except Exception as error:
                self._end = error
                self._stopping.set()  # before another thread takes the place
                raise
            seconds = time.monotonic() - start
            self._accepted = True
        self._limiter.settle(spent, answer.usage.input)
        self._ledger.record(question, answer, attempts=attempts, seconds=seconds, at=time.time())

    def _sleep(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise _Stopped
