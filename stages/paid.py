"""A teacher that costs time or money, at work on the images of a data set.

What it answers is kept under DVC_ROOT, outside the outs and outside a `--temp` copy of the repository: the captions
are built from there, so the same journal gives the same bytes, and nothing that it holds is asked again.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import pandas as pd

from analyzers.asking import Asker
from analyzers.estimate import duration, sampled_input
from analyzers.gemini import Gemini
from analyzers.ledger import Ledger
from analyzers.limits import Limiter
from analyzers.teacher import Question, Teacher, Usage
from data.journal import Journal
from stages.progress import progress
from stages.settings import MLLMTeacher, Prices, Settings
from stages.teachers import Described, questions

TERMINATED = 143  # exit status: 128 + SIGTERM
LIMITS = ("requests_per_minute", "input_tokens_per_minute", "requests_per_day")


@dataclass(frozen=True)
class Options:
    """What may be asked for on the command line."""

    dry_run: bool = False
    retry_blocked: bool = False
    refresh: datetime | None = None  # ask again what was answered before


@dataclass(frozen=True)
class Hired:
    """A teacher and its terms."""

    teacher: Teacher
    saw_mos: bool
    prices: Prices | None = None
    concurrency: int = 1
    limits: Mapping[str, int | None] = field(default_factory=partial(dict.fromkeys, LIMITS))


def paid(settings: Settings, seen: pd.DataFrame, options: Options) -> Described:
    """Ask what is not in the journal, then read everything from there."""
    hired, asked = _hire(settings), questions(settings, seen)
    with Journal(_kept(settings, "answers.jsonl")) as journal:
        ledger = Ledger(journal, hired.teacher)
        if todo := _to_ask(ledger, asked, options):
            _ask(hired, ledger, todo, _kept(settings, "requests.txt"))
            ledger = Ledger(journal, hired.teacher)  # as every later run will read it
        found = {question.image_id: ledger.explanations(question) for question in asked}
        return Described(
            explanations={image_id: explanations for image_id, explanations in found.items() if explanations},
            failures={
                question.image_id: ledger.failure(question) for question in asked if not found[question.image_id]
            },
            totals=ledger.totals(asked),
            prices=hired.prices,
            saw_mos=hired.saw_mos,
        )


def estimate(settings: Settings, seen: pd.DataFrame, options: Options) -> str:
    """What `paid` would take; nothing is paid to find out."""
    hired, asked = _hire(settings), questions(settings, seen)
    with Journal(_kept(settings, "answers.jsonl")) as journal:
        ledger = Ledger(journal, hired.teacher)
        failed = sum(ledger.failure(question) is not None for question in asked)
        todo, mean = _to_ask(ledger, asked, options), ledger.mean_output()
    new = f"{len(asked)} images, {failed} of them failed before; {len(todo)} new requests"
    if hired.prices is None or not todo:
        return new
    tokens, counted = sampled_input(todo, hired.teacher.count_tokens)
    most = hired.teacher.max_output_tokens
    usage = Usage(tokens, round((most if mean is None else mean) * len(todo)))
    source = f"at most, {most:,} each" if mean is None else "by the mean of the answers so far"
    prices = f"${hired.prices.input:g} in and ${hired.prices.output:g} out a million tokens"
    return (
        f"{new}\n"
        f"input:  {usage.input:,} tokens (counted by the service on {counted} of them)\n"
        f"output: {usage.output:,} tokens ({source})\n"
        f"cost:   ${hired.prices.cost(usage):.2f} (prices of {hired.prices.date}: {prices})\n"
        f"time:   {duration(len(todo), usage.input, **hired.limits)} or more, at the limits in runtime.teacher"
    )


def _hire(settings: Settings) -> Hired:
    profile, runtime = settings.teachers[settings.teacher], settings.runtime.teacher
    if isinstance(profile, MLLMTeacher):
        from analyzers.local_teacher import LocalTeacher  # noqa: PLC0415 (torch takes seconds; the others need none)
        from stages.student import load_model  # noqa: PLC0415

        model = load_model(settings.model_copy(update={"mllm": profile.mllm}))
        return Hired(LocalTeacher(model, settings.mllms[profile.mllm].max_new_tokens), saw_mos=False)
    shape = profile.model_dump(include={"model", "temperature", "max_output_tokens", "show_mos", "sdk"})
    return Hired(
        Gemini(**shape, timeout=runtime.timeout),
        saw_mos=profile.show_mos,
        prices=profile.prices,
        concurrency=runtime.concurrency,
        limits=runtime.model_dump(include=set(LIMITS)),
    )


def _to_ask(ledger: Ledger, asked: Sequence[Question], options: Options) -> list[Question]:
    if options.retry_blocked:
        ledger.forget(asked, lambda part: part.failure is not None and part.explanation is None)
    if options.refresh:
        ledger.forget(asked, lambda part: part.at < options.refresh.timestamp())
    return [question for question in asked if ledger.missing(question)]


def _ask(hired: Hired, ledger: Ledger, todo: Sequence[Question], notes: Path) -> None:
    limiter = Limiter(**hired.limits, tokens_a_request=_largest(hired, ledger, todo), notes=notes)
    settled = Asker(hired.teacher, ledger, limiter, hired.concurrency).settle(todo)

    def spent() -> str:
        money = f", ${hired.prices.cost(ledger.spent):.2f}" if hired.prices else ""
        return f"{sum(ledger.spent.as_dict().values()):,} tokens{money}"

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # as an exception: what is under way is kept
    with closing(settled):
        for question in progress(settled, total=len(todo), desc="caption", unit="images", note=spent):
            if reason := ledger.failure(question):
                print(f"caption: {question.path}: {reason}", file=sys.stderr)


def _largest(hired: Hired, ledger: Ledger, todo: Sequence[Question]) -> int:
    """Input tokens of the largest request so far, or of the likely largest one, counted by the service."""
    if hired.limits["input_tokens_per_minute"] is None:
        return 0
    wordiest = max(todo, key=lambda question: len(question.prompt))
    heaviest = max(todo, key=lambda question: question.path.stat().st_size)
    return ledger.largest_input() or max(map(hired.teacher.count_tokens, (wordiest, heaviest)))


def _kept(settings: Settings, name: str) -> Path:
    """Where something is kept for this kind of teacher, under the repository that DVC works for."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".cache/caption" / settings.teachers[settings.teacher].kind / name
