"""Asks a teacher by jobs of many questions, until each is described or failed; the service answers when it has time.

A job is remembered before it is sent (jobs.py), and to send it twice would be to pay twice. So where a run ends between
the two, the next one looks among the service's jobs for its name; where it is not, it was never sent. Where the answer
to sending it is lost, the same is done at once.

What a job answers goes through the same checks into the same journal as answers online, each line once, whoever is
killed on the way. What it leaves open is asked again in another job. Nobody has to wait for a job: it goes on at the
service when the run ends, and the next run finds it.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import ParamSpec, TypeVar

from analyzers.budget import Budget, SetAside
from analyzers.jobs import Job, Jobs
from analyzers.ledger import Ledger
from analyzers.patience import Unavailable, patiently
from analyzers.service import Batch, State
from analyzers.taking import Taker
from analyzers.teacher import DailyQuota, Question, Refused, TryAgain
from m3agiqa.errors import InputError
from m3agiqa.progress import say

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
POLL = 30  # seconds between two looks at a job
APPEARS = 60  # seconds until a job that was sent is surely listed
MOST_BARREN = 3  # jobs one after another without one answer: then it is the service
ENDED = {"SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "GONE"}


class BatchAsker:
    """A service at work; files on their way lie in `folder`."""

    def __init__(self, batch: Batch, ledger: Ledger, jobs: Jobs, budget: Budget, folder: Path, taker: Taker) -> None:
        self._batch, self._ledger, self._jobs, self._budget, self._folder = batch, ledger, jobs, budget, folder
        self._taker, self._requests = taker, folder / "requests.part"
        self._aside: dict[str, SetAside] = {}  # money, by the job's name
        self._sent: set[str] = set()  # names of jobs that this run has tried to send

    def settle(self, missing: Callable[[], Iterator[Question]] | None) -> Generator[Question]:
        """Each question once nothing of it is missing in the ledger; without `missing`, those of the open jobs alone.

        Raises:
            DailyQuota, Unavailable, BudgetSpent, InputError: as Asker.settle; jobs that are sent stay so.
        """
        barren = 0
        self._requests.unlink(missing_ok=True)  # what a kill left
        for job in self._jobs.open():
            self._aside[job.name] = self._budget.hold(len(job.questions), self._batch.share)
        try:
            self._find_again()
            while True:
                if missing:
                    self._send_more(missing)
                if not self._jobs.open():
                    return
                job, state = self._next_ended()
                taken = self._taker.take(job, state)
                self._forget(job)
                barren = 0 if taken.answers else barren + 1
                yield from taken.settled
                if barren == MOST_BARREN:
                    raise Unavailable(barren, TryAgain(f"job {job.sent} ended as {state.name} {taken.why}".strip()))
        finally:
            if on_their_way := [job.sent or job.name for job in self._jobs.open()]:
                say(f"caption: at the service until the next run takes the answers: {', '.join(on_their_way)}")

    def _find_again(self) -> None:
        """What an earlier run was about to send, and may have sent."""
        for job in self._jobs.open():
            if not job.sent:
                if found := self._found(job):
                    self._jobs.sent(job, found)
                else:
                    self._jobs.end(job, "NEVER SENT")
                    self._forget(job)

    def _found(self, job: Job) -> str | None:
        if found := _surely(self._batch.find, job.name):
            return found
        time.sleep(max(0.0, job.at + APPEARS - time.time()))
        return _surely(self._batch.find, job.name)

    def _send_more(self, missing: Callable[[], Iterator[Question]]) -> None:
        """As many jobs as there are questions, places and money for."""
        for job in self._jobs.open():
            if not job.sent and not self._send(job):
                return
        while len(self._jobs.open()) < self._batch.most_jobs:
            planned = self._plan(missing())
            if planned is None or not self._send(planned):
                return

    def _plan(self, missing: Iterator[Question]) -> Job | None:
        """The next job, remembered and not sent; None where nothing is left to ask, or no money until others end."""
        waiting = self._free(missing)
        first = next(waiting, None)
        if first is None:
            return None
        most = self._budget.set_aside(self._batch.most_requests, self._batch.share)
        if not most.requests:
            return None
        try:
            questions = self._write(chain([first], waiting), most.requests)
            file = _surely(self._batch.upload, self._requests, self._jobs.name(list(questions)))
            job = self._jobs.plan(file, questions)
        finally:
            self._budget.give_back(most)
            self._requests.unlink(missing_ok=True)
        self._aside[job.name] = self._budget.hold(len(questions), self._batch.share)
        return job

    def _free(self, missing: Iterator[Question]) -> Iterator[Question]:
        """What no open job asks, each once: two rows may have the same picture."""
        asked = self._jobs.parts()
        for question in missing:
            lacking = question.about(self._ledger.of(question).missing)
            parts = set(self._ledger.about(lacking)["parts"].values())
            if not parts & asked:
                asked |= parts
                yield lacking

    def _write(self, waiting: Iterator[Question], most: int) -> dict[str, Question]:
        """The file of a job, no larger than it may be; what it asks."""
        questions: dict[str, Question] = {}
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._requests.open("wb") as file:
            while len(questions) < most and (question := next(waiting, None)):
                key = self._ledger.about(question)["key"]
                line = self._batch.line(key, question)
                if questions and file.tell() + len(line) > self._batch.most_bytes:
                    break
                file.write(line)
                questions[key] = question
        return questions

    def _send(self, job: Job) -> bool:
        """Whether it is at the service; where it takes no more for now, it can wait until another has ended."""
        alone = not any(other.sent for other in self._jobs.open())
        try:
            known_as = _surely(self._create, job) if alone else self._create(job)
        except TryAgain:
            return False
        except Refused as refused:
            raise _final(refused) from None
        self._jobs.sent(job, known_as)
        return True

    def _create(self, job: Job) -> str:
        if job.name in self._sent and (found := self._batch.find(job.name)):
            return found
        self._sent.add(job.name)
        try:
            return self._batch.create(job.file, job.name)
        except TryAgain as error:
            if error.lost:
                time.sleep(APPEARS)
            raise
        except (DailyQuota, InputError, Refused) as error:
            self._jobs.end(job, "REFUSED")
            self._forget(job)
            raise _final(error) from None

    def _next_ended(self) -> tuple[Job, State]:
        """Wait for a job of those that are at the service."""
        while True:
            for job in self._jobs.open():
                if job.sent:
                    state = _surely(self._batch.look, job.sent)
                    if state.name in ENDED:
                        return job, state
            time.sleep(POLL)

    def _forget(self, job: Job) -> None:
        """It needs neither money nor room at the service any more."""
        self._budget.give_back(self._aside.pop(job.name))
        with suppress(TryAgain, Refused, InputError, DailyQuota):  # the service itself removes it after two days
            self._batch.discard(job.file)


def _surely(method: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
    """What a service's method gives, after some attempts perhaps. Raises Unavailable, DailyQuota, InputError."""
    try:
        return patiently()(method, *arguments, **named)
    except Refused as refused:
        raise _final(refused) from None


def _final(error: Exception) -> Exception:
    """A refusal that is not about one image is about the settings."""
    return InputError(f"{error} ({error.advice})") if isinstance(error, Refused) else error
