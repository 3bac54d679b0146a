"""Takes the answers of a job that has ended: what is answered into the journal, what is refused too; the rest is open.

A kill may come between any two lines: what was taken already is in the journal under the job's name, and is passed
over. Where a job has no answer to a question that it may have answered, that request counts as lost.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from analyzers.budget import Budget
from analyzers.jobs import Job, Jobs
from analyzers.ledger import Ledger
from analyzers.patience import patiently
from analyzers.service import Batch, State
from analyzers.teacher import DailyQuota, Question, Refused, TryAgain
from m3agiqa.errors import InputError
from m3agiqa.json_text import parse_json

MOST_FAILED = 3  # jobs in which a question got no answer, while others did: then it is the image
MAY_BE_BILLED = {"SUCCEEDED", "PARTIALLY_SUCCEEDED", "CANCELLED", "EXPIRED", "GONE"}  # how a job may have ended


class Taken(NamedTuple):
    """What came of a job."""

    settled: list[Question]
    answers: int
    why: str  # there is no answer to one of the others


@dataclass
class _Found:
    """What a job's lines say, by the questions' keys."""

    without: dict[str, Question]  # a line
    answers: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    refused: dict[str, Refused] = field(default_factory=dict)
    end: Exception | None = None  # what ends the run


class Taker:
    """Takes answers from `batch`; files on their way lie in `folder`. `accepted` as in Asker."""

    def __init__(
        self, batch: Batch, ledger: Ledger, jobs: Jobs, budget: Budget, folder: Path, *, accepted: bool
    ) -> None:
        self._batch, self._ledger, self._jobs, self._budget, self._folder = batch, ledger, jobs, budget, folder
        self._accepted = accepted

    def take(self, job: Job, state: State) -> Taken:
        """Put what the job answered into the journal, and end it.

        Raises:
            Unavailable: the answers cannot be fetched now; the job stays open.
            InputError: no request can succeed; what is answered is kept.
        """
        found = self._read(job, state)
        self._accepted = self._accepted or bool(found.answers)
        failed, end = found.failed | self._without_answer(found.without, job, state), found.end
        if found.refused and not self._accepted:
            why = next(iter(found.refused.values()))
            end = end or InputError(f"{why}; nothing was accepted yet ({why.advice})")
            failed |= {key: str(refused) for key, refused in found.refused.items()}
        else:
            for key, refused in found.refused.items():
                self._refuse(job.questions[key], str(refused))
        self._give_up(job, failed)
        self._jobs.end(job, state.name, list(failed))
        if end:
            raise end
        settled = [question for question in job.questions.values() if not self._ledger.of(question).missing]
        return Taken(settled, found.answers + len(found.refused), next(iter(failed.values()), ""))

    def _read(self, job: Job, state: State) -> "_Found":
        """Every line once, the answers into the journal."""
        found = _Found(dict(job.questions))
        done = self._ledger.answered_in(job.name)
        for line in self._lines(state):
            if (key := line.get("key")) not in found.without:
                continue
            question = found.without.pop(key)
            try:
                if key not in done:
                    self._record(question, line, job)
                found.answers += 1
            except TryAgain as error:
                found.failed[key] = str(error)
            except Refused as error:
                found.refused[key] = error
            except (DailyQuota, InputError) as error:
                found.failed[key], found.end = str(error), found.end or error
        return found

    def _lines(self, state: State) -> Iterator[dict[str, Any]]:
        """The answers. A file that is gone has none; what is no JSON is passed over."""
        path = self._folder / "answers.part"
        if not state.answers:
            return
        try:
            patiently()(self._batch.fetch, state.answers, path)
            with path.open("rb") as lines:
                for line in lines:
                    if isinstance(found := _parsed(line), dict):
                        yield found
        except (InputError, Refused):
            return
        finally:
            path.unlink(missing_ok=True)

    def _record(self, question: Question, line: dict[str, Any], job: Job) -> None:
        answer, share = self._batch.answer(line), self._batch.share
        self._ledger.record(question, answer, attempts=1, seconds=0.0, at=time.time(), share=share, job=job.name)
        self._budget.spend(answer.usage, share)

    def _without_answer(self, waiting: dict[str, Question], job: Job, state: State) -> dict[str, str]:
        for question in waiting.values():
            about = self._ledger.about(question)
            if state.name in MAY_BE_BILLED and not self._ledger.answered_since(about, job.at):
                self._ledger.lose(about, attempts=1, at=time.time(), share=self._batch.share)
                self._budget.lose(self._batch.share)
        return dict.fromkeys(waiting, f"no answer in a job that ended as {state.name}")

    def _give_up(self, job: Job, failed: dict[str, str]) -> None:
        """What is never answered, unlike others."""
        for key, reason in failed.items():
            if self._accepted and self._jobs.failures[key] + 1 >= MOST_FAILED:
                self._refuse(job.questions[key], f"never answered: {reason}")

    def _refuse(self, question: Question, reason: str) -> None:
        if missing := self._ledger.of(question).missing:
            self._ledger.refuse(question.about(missing), reason, attempts=1, at=time.time())


def _parsed(line: bytes) -> Any:
    try:
        return parse_json(line)
    except ValueError:
        return None
