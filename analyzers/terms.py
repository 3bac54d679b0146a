"""On what terms a teacher works: what it costs, what its service allows, and what the command line asks for."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from analyzers.ledger import Ledger
from analyzers.limits import NO_LIMITS, Limits
from analyzers.prices import cost
from analyzers.service import Batch
from analyzers.shards import Shard
from analyzers.teacher import Known, PaidTeacher, Question, Teacher, Usage
from pipeline.profiles import Prices


@dataclass(frozen=True)
class Options:
    """What may be asked for on the command line."""

    dry_run: bool = False
    probe: int = 0  # images to ask about, before the estimate
    retry_blocked: bool = False
    refresh: datetime | None = None  # ask again what was answered before
    shard: Shard | None = None  # the only images to ask about, and nothing else is written
    join: Sequence[Path] = ()  # journals of other machines, to be taken over


@runtime_checkable
class InRounds(Known, Protocol):
    """A teacher that is asked many questions at once, in several processes perhaps (rounds.py)."""

    def settle(self, ledger: Ledger, questions: Iterable[Question], *, accepted: bool) -> Generator[Question]:
        """As Asker.settle."""

    def end(self) -> None:
        """There is nothing more to ask."""


@dataclass(frozen=True)
class Service:
    """A teacher that takes money for its tokens, and what it may take in all, in USD.

    `count_tokens` is for a service that counts a question's input tokens for nothing; it raises what `ask` does.
    """

    teacher: PaidTeacher
    prices: Prices
    max_usd: float | None = None
    count_tokens: Callable[[Question], int] | None = None
    batch: Batch | None = None  # how it takes many questions at once, where it can
    batched: bool = False  # whether it is to be asked so

    @property
    def share(self) -> float:
        """Of the price."""
        return self.batch.share if self.batch and self.batched else 1.0

    def most(self, input_tokens: int) -> float:
        """What a request of so many input tokens may cost, in USD."""
        return cost(self.prices, Usage(input_tokens, self.teacher.max_output_tokens))


@dataclass(frozen=True)
class Terms:
    """A teacher, what it costs, and what its service allows."""

    teacher: Teacher | InRounds
    saw_mos: bool
    service: Service | None = None
    concurrency: int = 1
    limits: Limits = NO_LIMITS

    @property
    def prices(self) -> Prices | None:
        return self.service.prices if self.service else None
