"""A teacher's work on a data set: which questions are open, and how they are asked; its journal lies beside the cache.

Of several machines that share the work out, each has a shard of the questions. What was spent is of all, as far as it
is known here.

What is kept for the next run is under DVC_ROOT, outside the outs and outside a `--temp` copy of the repository.
"""

import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from analyzers.asking import MOST_REFUSED, Asker
from analyzers.batching import BatchAsker
from analyzers.budget import Budget
from analyzers.captions import Described
from analyzers.estimate import input_tokens
from analyzers.explanations import REPEATS
from analyzers.forecast import Kept
from analyzers.jobs import Jobs
from analyzers.ledger import Ledger
from analyzers.limits import Limiter
from analyzers.questions import questions
from analyzers.service import Batch
from analyzers.shards import Shard
from analyzers.taking import Taker
from analyzers.teacher import Question, Refused, Teacher
from analyzers.terms import InRounds, Options, Service, Terms
from analyzers.totals import Totals
from analyzers.under_way import UnderWay
from m3agiqa.journal import Journal
from m3agiqa.progress import progress
from pipeline.settings import Settings
from pipeline.unfinished import cache

TERMINATED = 143  # exit status: 128 + SIGTERM


def kept(settings: Settings, name: str) -> Path:
    """Where something is kept for this kind of teacher, under the repository that DVC works for."""
    return cache() / "caption" / settings.teachers[settings.teacher].kind / name


class Work:
    """The questions about a data set's images, or a shard of them, and the `journal` of their answers."""

    def __init__(self, terms: Terms, settings: Settings, journal: Journal, shard: Shard | None = None) -> None:
        self.terms = terms
        self._settings, self._journal, self._shard = settings, journal, shard
        self._ledger = Ledger(journal, terms.teacher)

    def reread(self) -> None:
        """Take the journal as every later run will."""
        self._ledger = Ledger(self._journal, self.terms.teacher)

    def all(self) -> Iterator[Question]:
        every, shard = questions(self._settings), self._shard
        return (question for question in every if shard.has(question.sha256)) if shard else every

    def missing(self) -> Iterator[Question]:
        """Those that are not settled."""
        return (question for question in self.all() if self._ledger.of(question).missing)

    def few(self, number: int) -> list[Question]:
        """So many of the missing ones, from everywhere."""
        step = max(1, count(self.missing()) // number)
        return list(islice(islice(self.missing(), step // 2, None, step), number))

    def failed(self) -> int:
        """How many images failed."""
        return sum(self._ledger.of(question).failure is not None for question in self.all())

    def totals(self) -> Totals:
        return self._ledger.totals(questions(self._settings))

    def described(self) -> Iterator[Described]:
        for question in self.all():
            answered = self._ledger.of(question)
            yield Described(question.image_id, answered.explanations, answered.failure, answered.repeating)

    def forget(self, options: Options) -> None:
        """Have asked again what the command line says."""
        if options.refresh:
            print(f"caption: if this is stopped, go on with --refresh {options.refresh.isoformat()}", file=sys.stderr)
        for question in self.all():
            if options.retry_blocked:
                self._ledger.forget(question, lambda part: part.failure is not None and part.explanation is None)
            if options.refresh:
                self._ledger.forget_before(question, options.refresh.timestamp())

    def note_lost(self) -> None:
        """What a killed run had under way may have been billed."""
        under_way = self._under_way()
        for request in under_way.left():
            if not self._ledger.answered_since(request, request["at"]):
                self._ledger.lose(request, attempts=1, at=request["at"])
        under_way.begin()

    def ask(self, waiting: Iterable[Question] | None, total: int, before: Totals) -> None:
        """Settle the `waiting` questions, or all missing ones: so many, perhaps none but those of the open jobs.

        `before` is what was spent until now.

        Raises:
            DailyQuota, Unavailable, BudgetSpent, InputError: as analyzers.asking.Asker.settle.
        """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # as an exception: what is under way is kept
        with self._jobs() as jobs, closing(self._settled(waiting, total, before, jobs)) as settled:
            note = None if isinstance(self.terms.teacher, InRounds) else self._spent
            for question in progress(settled, total=total, desc="caption", unit="images", note=note):
                answered = self._ledger.of(question)
                if reason := answered.failure:
                    print(f"caption: {question.path}: {reason}", file=sys.stderr)
                for aspect in answered.repeating:
                    print(f"caption: {question.path}: {aspect} {REPEATS}, and is kept", file=sys.stderr)

    def forecasts(self, service: Service) -> Kept:
        """What was forecast for exactly these questions."""
        keys = (service.teacher.key(question) for question in self.all())
        return Kept(kept(self._settings, "forecast.json"), keys, service)

    def in_jobs(self) -> int:
        """How many questions are at the service, in jobs."""
        with self._jobs() as jobs:
            return sum(len(job.questions) for job in jobs.open())

    def _settled(
        self, waiting: Iterable[Question] | None, total: int, before: Totals, jobs: Jobs
    ) -> Generator[Question]:
        """By jobs where that is wanted; those that are under way come first, because what they ask is paid for."""
        teacher = self.terms.teacher
        if isinstance(teacher, InRounds):
            yield from teacher.settle(self._ledger, waiting or self.missing(), accepted=self._accepted())
            return
        service, largest = self.terms.service, self._largest(before)
        budget = self._budget(before, largest)
        by_jobs = service is not None and service.batched and waiting is None
        if service and service.batch and (by_jobs or jobs.open()):
            asker = self._batch_asker(service.batch, jobs, budget)
            yield from asker.settle(self.missing if by_jobs else None)
        if not by_jobs:
            accepted = self._accepted()
            if waiting is None:
                waiting = self.missing() if accepted else self._spread(total)
            yield from self._asker(teacher, budget, largest, accepted=accepted).settle(waiting)

    def _asker(self, teacher: Teacher, budget: Budget, largest: int, *, accepted: bool) -> Asker:
        limits = self.terms.limits._asdict()
        limiter = Limiter(**limits, tokens_a_request=largest, notes=kept(self._settings, "requests.txt"))
        return Asker(
            teacher,
            self._ledger,
            limiter,
            self.terms.concurrency,
            budget=budget,
            under_way=self._under_way(),
            accepted=accepted,
        )

    def _batch_asker(self, batch: Batch, jobs: Jobs, budget: Budget) -> BatchAsker:
        folder = kept(self._settings, "jobs.jsonl").parent
        taker = Taker(batch, self._ledger, jobs, budget, folder, accepted=self._accepted())
        return BatchAsker(batch, self._ledger, jobs, budget, folder, taker)

    @contextmanager
    def _jobs(self) -> Iterator[Jobs]:
        with Journal(kept(self._settings, "jobs.jsonl")) as journal:
            yield Jobs(journal, self.terms.teacher)

    def _accepted(self) -> bool:
        """Whether the service has ever taken a request with these settings."""
        return any(part.at for question in self.all() for part in self._ledger.of(question).values())

    def _spread(self, total: int) -> Iterator[Question]:
        """A few from everywhere first: images of a kind that a service refuses may be neighbours."""
        few = list(islice(self.missing(), 0, None, max(1, -(-total // MOST_REFUSED))))
        yield from few
        first = {question.image_id for question in few}
        yield from (question for question in self.missing() if question.image_id not in first)

    def _budget(self, before: Totals, largest: int) -> Budget:
        service = self.terms.service
        if service is None:
            return Budget()
        spent = before.usd(service.prices) + before.usd_lost_at_most(service.most(largest))
        most = {"largest_input": largest, "max_output": service.teacher.max_output_tokens}
        return Budget(service.max_usd, prices=service.prices, spent=spent, **most)

    def _largest(self, before: Totals) -> int:
        """Input tokens of the largest request so far, or of the likely largest one, counted by the service."""
        service, limits = self.terms.service, self.terms.limits
        if before.largest_input or service is None or service.count_tokens is None:
            return before.largest_input
        if limits.input_tokens_per_minute is None and service.max_usd is None:
            return 0
        wordiest = max(self.missing(), key=lambda question: len(question.prompt), default=None)
        heaviest = max(self.missing(), key=lambda question: question.path.stat().st_size, default=None)
        try:
            return max(input_tokens(filter(None, (wordiest, heaviest)), service.count_tokens), default=0)
        except Refused:
            return 0  # the first answer will tell: until then one is asked at a time

    def _spent(self) -> str:
        spent, prices = self._ledger.spent, self.terms.prices
        money = f", ${spent.usd(prices):.2f}" if prices else ""
        return f"{sum(spent.usage.as_dict().values()):,} tokens{money}"

    def _under_way(self) -> UnderWay:
        return UnderWay(kept(self._settings, "under_way.jsonl"))


def count(questions: Iterable[Question]) -> int:
    return sum(1 for _ in questions)
