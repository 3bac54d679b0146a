"""A teacher that costs time or money, at work on the images of a data set.

What it answers is kept under DVC_ROOT, outside the outs and outside a `--temp` copy of the repository: the captions
are built from there, so the same journal gives the same bytes, and nothing that it holds is asked again.
"""

import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from analyzers.asking import Asker
from analyzers.estimate import duration, sampled_input
from analyzers.gemini import Gemini
from analyzers.ledger import Ledger
from analyzers.limits import Limiter
from analyzers.teacher import Question, Teacher, Usage
from data.journal import Journal
from stages.progress import progress
from stages.settings import MLLMTeacher, Prices, Settings
from stages.teachers import Described, Work, questions

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


@contextmanager
def paid(settings: Settings, options: Options) -> Iterator[Work]:
    """Ask what is not in the journal; the work is then read from there."""
    hired = _hire(settings)
    with Journal(_kept(settings, "answers.jsonl")) as journal:
        ledger = Ledger(journal, hired.teacher)
        _forget(ledger, settings, options)
        if total := _count(_missing(ledger, settings)):
            _ask(hired, ledger, settings, total)
            ledger = Ledger(journal, hired.teacher)  # as every later run will read it
        yield Work(_described(ledger, settings), ledger.totals(questions(settings)), hired.prices, hired.saw_mos)


def estimate(settings: Settings, options: Options) -> str:
    """What `paid` would take; nothing is paid to find out."""
    hired = _hire(settings)
    with Journal(_kept(settings, "answers.jsonl")) as journal:
        ledger = Ledger(journal, hired.teacher)
        images = _count(questions(settings))
        failed = sum(ledger.of(question).failure is not None for question in questions(settings))
        _forget(ledger, settings, options)
        number = _count(_missing(ledger, settings))
        new = f"{images} images, {failed} of them failed before; {number} new requests"
        if hired.prices is None or not number:
            return new
        tokens, counted = sampled_input(_missing(ledger, settings), number, hired.teacher.count_tokens)
        mean = ledger.mean_output()
    most = hired.teacher.max_output_tokens
    usage = Usage(tokens, round((most if mean is None else mean) * number))
    source = f"at most, {most:,} each" if mean is None else "by the mean of the answers so far"
    prices = f"${hired.prices.input:g} in and ${hired.prices.output:g} out a million tokens"
    return (
        f"{new}\n"
        f"input:  {usage.input:,} tokens (counted by the service on {counted} of them)\n"
        f"output: {usage.output:,} tokens ({source})\n"
        f"cost:   ${hired.prices.cost(usage):.2f} (prices of {hired.prices.date}: {prices})\n"
        f"time:   {duration(number, usage.input, **hired.limits)} or more, at the limits in runtime.teacher"
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


def _forget(ledger: Ledger, settings: Settings, options: Options) -> None:
    """Have asked again what the command line says."""
    if options.refresh:
        print(f"caption: if this is stopped, go on with --refresh {options.refresh.isoformat()}", file=sys.stderr)
    for question in questions(settings):
        if options.retry_blocked:
            ledger.forget(question, lambda part: part.failure is not None and part.explanation is None)
        if options.refresh:
            ledger.forget(question, lambda part: part.at < options.refresh.timestamp())


def _missing(ledger: Ledger, settings: Settings) -> Iterator[Question]:
    return (question for question in questions(settings) if ledger.of(question).missing)


def _described(ledger: Ledger, settings: Settings) -> Iterator[Described]:
    for question in questions(settings):
        standing = ledger.of(question)
        yield Described(question.image_id, standing.explanations, standing.failure)


def _count(questions: Iterable[Question]) -> int:
    return sum(1 for _ in questions)


def _ask(hired: Hired, ledger: Ledger, settings: Settings, total: int) -> None:
    largest = _largest(hired, ledger, settings)
    limiter = Limiter(**hired.limits, tokens_a_request=largest, notes=_kept(settings, "requests.txt"))
    settled = Asker(hired.teacher, ledger, limiter, hired.concurrency).settle(_missing(ledger, settings))

    def spent() -> str:
        money = f", ${hired.prices.cost(ledger.spent):.2f}" if hired.prices else ""
        return f"{sum(ledger.spent.as_dict().values()):,} tokens{money}"

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # as an exception: what is under way is kept
    with closing(settled):
        for question in progress(settled, total=total, desc="caption", unit="images", note=spent):
            if reason := ledger.of(question).failure:
                print(f"caption: {question.path}: {reason}", file=sys.stderr)


def _largest(hired: Hired, ledger: Ledger, settings: Settings) -> int:
    """Input tokens of the largest request so far, or of the likely largest one, counted by the service."""
    if hired.limits["input_tokens_per_minute"] is None:
        return 0
    if ledger.largest_input:
        return ledger.largest_input
    wordiest = max(_missing(ledger, settings), key=lambda question: len(question.prompt))
    heaviest = max(_missing(ledger, settings), key=lambda question: question.path.stat().st_size)
    return max(map(hired.teacher.count_tokens, (wordiest, heaviest)))


def _kept(settings: Settings, name: str) -> Path:
    """Where something is kept for this kind of teacher, under the repository that DVC works for."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".cache/caption" / settings.teachers[settings.teacher].kind / name
