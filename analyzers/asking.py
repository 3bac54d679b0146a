"""Asks a teacher many questions, several at once, until each is described or failed.

Serves every teacher that costs time or money. Each answer is on the disk before its thread takes the next question;
there are a few threads more than requests at once, so that preparing and writing take no request's place.
Whatever ends the run early, also a signal, lets the requests that are under way finish, because they are paid for.

A service may refuse one request and take all others. Whose fault that is, the image's or the settings', is known as
soon as it has accepted one: until then there is one request at a time, and what is refused is put aside.

No request starts for which there is no money left (budget.py), and one that is lost counts as if it had cost the most.
"""

import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import NamedTuple

from analyzers.budget import Budget
from analyzers.ledger import Ledger
from analyzers.limits import Limiter
from analyzers.patience import MOST_ATTEMPTS, Unavailable, Unusable, patiently
from analyzers.teacher import Question, Refused, Teacher, TryAgain
from analyzers.under_way import UnderWay
from m3agiqa.errors import InputError

SPARE = 4  # threads that prepare and write; one is enough for 20 answers a second
MOST_REFUSED = 4  # questions, before any is accepted: then it is not the images
ENOUGH = MOST_ATTEMPTS // 2  # attempts in vain; if others are answered after them, it is not the service


class _PutAside(Exception):  # noqa: N818
    """The request was refused, and it is not known yet why."""


class _Stopped(Exception):  # noqa: N818
    """The run is ending: wait for nothing more."""


class Asker:
    """A teacher at work: `concurrency` requests at once, within the limits."""

    def __init__(
        self,
        teacher: Teacher,
        ledger: Ledger,
        limiter: Limiter,
        concurrency: int,
        *,
        budget: Budget,
        under_way: UnderWay,
        accepted: bool = False,
    ) -> None:
        self._teacher, self._ledger, self._limiter = teacher, ledger, limiter
        self._budget, self._notes = budget, under_way
        self._threads, self._concurrency = concurrency + SPARE, concurrency
        self._accepted = accepted  # whether the service has ever taken a request with these settings
        self._places = threading.Semaphore(concurrency if accepted else 1)
        self._aside: list[_Refusal] = []
        self._answers = 0
        self._under_way: set[str] = set()
        self._turn = threading.Condition()
        self._stopping = threading.Event()
        self._end: Exception | None = None  # what ends the run

    def settle(self, questions: Iterable[Question]) -> Generator[Question]:
        """Each question once nothing of it is missing in the ledger, in the order in which that happens.

        Raises:
            DailyQuota, Unavailable, BudgetSpent, InputError: as the teacher says, because there is no money left, or
                because the service refused the first questions and accepted none; what was answered is kept.
        """
        waiting = iter(questions)
        with ThreadPoolExecutor(self._threads) as pool:
            try:
                running = {pool.submit(self._settle, question) for question in islice(waiting, self._threads)}
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    settled = [future.result() for future in done]
                    running |= {pool.submit(self._settle, question) for question in islice(waiting, len(done))}
                    yield from filter(None, settled)
                    if self._accepted:
                        yield from self._take_up()
                if self._aside:
                    raise self._aside[0].nothing_accepted()
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
        attempts = answers = 0
        try:
            for attempt in patiently(self._sleep):
                with attempt:
                    if missing := self._ledger.of(question).missing:
                        attempts += 1
                        if attempts == ENOUGH:
                            answers = self._answers
                        self._ask(question.about(missing), attempts)
                        attempts = 0
                    if self._ledger.of(question).missing:
                        raise Unusable
        except _PutAside:
            return None
        except Unavailable as error:
            if not error.perhaps_image or self._answers == answers:
                raise
            self._refuse(question, f"never answered: {error.last}", attempts)  # unlike others
        return question

    def _ask(self, question: Question, attempts: int) -> None:
        prepared = self._teacher.prepare(question)
        with ExitStack() as noted:  # until it is in the ledger, which takes no request's place
            with self._places:
                self._sleep(0)
                with self._budget.for_one(self._sleep):
                    spent = self._limiter.acquire(self._sleep)
                    self._sleep(0)
                    noted.enter_context(self._notes.note(self._ledger.about(question)))
                    start = time.monotonic()
                    try:
                        answer = self._teacher.ask(prepared)
                    except Exception as error:  # noqa: BLE001 (raised again, unless it is settled)
                        self._failed(question, error, attempts)
                        return
                    seconds = time.monotonic() - start
                    self._budget.spend(answer.usage)
                self._accept()
            self._limiter.settle(spent, answer.usage.input)
            self._ledger.record(question, answer, attempts=attempts, seconds=seconds, at=time.time())

    def _failed(self, question: Question, error: Exception, attempts: int) -> None:
        """No answer came; only a refusal is settled by that.

        Raises:
            TryAgain, DailyQuota, InputError: `error`.
        """
        if isinstance(error, Refused):
            self._refused(_Refusal(question, error, attempts))
            return
        if not isinstance(error, TryAgain):
            self._stop(error)
            raise error
        if error.wait is not None:
            self._limiter.hold(error.wait)
        if error.lost:
            self._budget.lose()
            self._ledger.lose(self._ledger.about(question), attempts=0, at=time.time())  # counted with the answer
        raise error

    def _accept(self) -> None:
        with self._turn:
            self._answers += 1
            if not self._accepted:
                self._accepted = True
                for _ in range(self._concurrency - 1):
                    self._places.release()

    def _refused(self, refusal: "_Refusal") -> None:
        """It is the image's failure, once the service is known to accept others."""
        if self._accepted:
            self._refuse(refusal.question, str(refusal.why), refusal.attempts)
            return
        self._aside.append(refusal)
        if len(self._aside) == MOST_REFUSED:
            self._stop(refusal.nothing_accepted())
            raise _Stopped
        raise _PutAside

    def _take_up(self) -> Iterator[Question]:
        while self._aside:
            refusal = self._aside.pop(0)
            self._refuse(refusal.question, str(refusal.why), refusal.attempts)
            yield refusal.question

    def _refuse(self, question: Question, reason: str, attempts: int) -> None:
        if missing := self._ledger.of(question).missing:  # another row may have the same picture
            self._ledger.refuse(question.about(missing), reason, attempts=attempts, at=time.time())

    def _stop(self, error: Exception) -> None:
        """`error` is what ends the run: nobody takes the place of the request that met it."""
        self._end = error
        self._stopping.set()

    def _sleep(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise _Stopped


class _Refusal(NamedTuple):
    """A question, and how the service refused it after so many attempts."""

    question: Question
    why: Refused
    attempts: int

    def nothing_accepted(self) -> InputError:
        return InputError(f"{self.why}; nothing was accepted yet ({self.why.advice})")
