"""A teacher that costs time or money, at work on the images of a data set, its answers kept in a journal.

What it answers is kept under DVC_ROOT, outside the outs and outside a `--temp` copy of the repository: the captions
are built from there, so the same journal gives the same bytes, and nothing that it holds is asked again.
"""

import math
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from analyzers.asking import MOST_REFUSED, Asker
from analyzers.captions import Captions, Described
from analyzers.estimate import duration, input_tokens, sampled_input
from analyzers.explanations import REPEATS
from analyzers.gemini.teacher import Gemini
from analyzers.ledger import Ledger
from analyzers.limits import NO_LIMITS, Limiter, Limits
from analyzers.prices import cost
from analyzers.questions import questions
from analyzers.teacher import Question, Refused, Teacher, Usage
from m3agiqa.errors import InputError
from m3agiqa.journal import Journal
from m3agiqa.progress import progress
from pipeline import sources
from pipeline.profiles import GeminiTeacher, MLLMTeacher, Prices
from pipeline.settings import Settings
from pipeline.sources import TeacherSource
from pipeline.unfinished import cache

TERMINATED = 143  # exit status: 128 + SIGTERM


@dataclass(frozen=True)
class Options:
    """What may be asked for on the command line."""

    dry_run: bool = False
    retry_blocked: bool = False
    refresh: datetime | None = None  # ask again what was answered before


@dataclass(frozen=True)
class Service:
    """A teacher that takes money for its tokens, and counts them beforehand for nothing."""

    teacher: Gemini
    prices: Prices


@dataclass(frozen=True)
class Terms:
    """A teacher, what it costs, and what its service allows."""

    teacher: Teacher
    saw_mos: bool
    service: Service | None = None
    concurrency: int = 1
    limits: Limits = NO_LIMITS

    @property
    def prices(self) -> Prices | None:
        return self.service.prices if self.service else None


@contextmanager
def journalled(settings: Settings, options: Options) -> Iterator[Captions]:
    """Ask what is not in the journal; the work is then read from there."""
    terms = _terms(settings)
    with Journal(_kept(settings, "answers.jsonl")) as journal:
        ledger = Ledger(journal, terms.teacher)
        _forget(ledger, settings, options)
        if total := _count(_missing(ledger, settings)):
            _ask(terms, ledger, settings, total)
            ledger = Ledger(journal, terms.teacher)  # as every later run will read it
        yield Captions(_described(ledger, settings), ledger.totals(questions(settings)), terms.prices, terms.saw_mos)


def estimate(settings: Settings, options: Options) -> str:
    """What `journalled` would take; nothing is paid to find out.

    Raises:
        DailyQuota, Unavailable, InputError: as the service says when it is to count tokens.
    """
    terms = _terms(settings)
    with Journal(_kept(settings, "answers.jsonl")) as journal:
        ledger = Ledger(journal, terms.teacher)
        images = _count(questions(settings))
        failed = sum(ledger.of(question).failure is not None for question in questions(settings))
        _forget(ledger, settings, options)
        number = _count(_missing(ledger, settings))
        new = f"{images} images, {failed} of them failed before; {number} new requests"
        if terms.service is None or not number:
            return new
        teacher, prices = terms.service.teacher, terms.service.prices
        try:
            tokens, counted = sampled_input(_missing(ledger, settings), number, teacher.count_tokens)
        except Refused as refused:
            raise InputError(f"{refused} ({refused.advice})") from None
        mean = ledger.mean_output()
    most = teacher.max_output_tokens
    usage = Usage(tokens, round((most if mean is None else mean) * number))
    source = f"at most, {most:,} each" if mean is None else "by the mean of the answers so far"
    each = f"${prices.input:g} in and ${prices.output:g} out a million tokens"
    return (
        f"{new}\n"
        f"input:  {usage.input:,} tokens (counted by the service on {counted} of them)\n"
        f"output: {usage.output:,} tokens ({source})\n"
        f"cost:   ${cost(prices, usage):.2f} (prices of {prices.date}: {each})\n"
        f"time:   {duration(number, usage.input, terms.limits)} or more, at the limits in runtime.teacher"
    )


def _terms(settings: Settings) -> Terms:
    profile, runtime = settings.teachers[settings.teacher], settings.runtime
    if isinstance(profile, MLLMTeacher):
        from analyzers.mllm import LocalTeacher  # noqa: PLC0415 (torch takes seconds; the others need none)
        from m3agiqa.device import device  # noqa: PLC0415
        from m3agiqa.mllm import adapters  # noqa: PLC0415
        from m3agiqa.mllm.model import LocalMLLM  # noqa: PLC0415

        chosen = sources.read(TeacherSource, sources.TEACHER, settings.teacher).mllm
        if chosen is None:
            raise InputError(f"{sources.TEACHER}: names no MLLM; run python -m stages.source")
        model = LocalMLLM.load(chosen, device=device(runtime.device), adapter=adapters.own(chosen))
        return Terms(LocalTeacher(model, chosen.max_new_tokens), saw_mos=False)
    if not isinstance(profile, GeminiTeacher):
        raise TypeError(f"the answers of the teacher {settings.teacher} are not kept in a journal")
    teacher = Gemini(
        model=profile.model,
        temperature=profile.temperature,
        max_output_tokens=profile.max_output_tokens,
        show_mos=profile.show_mos,
        sdk=profile.sdk,
        timeout=runtime.teacher.timeout,
    )
    limits = Limits(
        runtime.teacher.requests_per_minute,
        runtime.teacher.input_tokens_per_minute,
        runtime.teacher.requests_per_day,
    )
    return Terms(
        teacher,
        saw_mos=profile.show_mos,
        service=Service(teacher, profile.prices),
        concurrency=runtime.teacher.concurrency,
        limits=limits,
    )


def _forget(ledger: Ledger, settings: Settings, options: Options) -> None:
    """Have asked again what the command line says."""
    before = options.refresh.timestamp() if options.refresh else -math.inf
    if options.refresh:
        print(f"caption: if this is stopped, go on with --refresh {options.refresh.isoformat()}", file=sys.stderr)
    for question in questions(settings):
        if options.retry_blocked:
            ledger.forget(question, lambda part: part.failure is not None and part.explanation is None)
        if options.refresh:
            ledger.forget(question, lambda part: part.at < before)


def _missing(ledger: Ledger, settings: Settings) -> Iterator[Question]:
    return (question for question in questions(settings) if ledger.of(question).missing)


def _spread(ledger: Ledger, settings: Settings, total: int) -> Iterator[Question]:
    """All that is missing, a few from everywhere first: images of a kind that a service refuses may be neighbours."""
    few = list(islice(_missing(ledger, settings), 0, None, -(-total // MOST_REFUSED)))
    yield from few
    first = {question.image_id for question in few}
    yield from (question for question in _missing(ledger, settings) if question.image_id not in first)


def _described(ledger: Ledger, settings: Settings) -> Iterator[Described]:
    for question in questions(settings):
        answered = ledger.of(question)
        yield Described(question.image_id, answered.explanations, answered.failure, answered.repeating)


def _count(questions: Iterable[Question]) -> int:
    return sum(1 for _ in questions)


def _ask(terms: Terms, ledger: Ledger, settings: Settings, total: int) -> None:
    largest = _largest(terms, ledger, settings)
    limiter = Limiter(**terms.limits._asdict(), tokens_a_request=largest, notes=_kept(settings, "requests.txt"))
    accepted = any(part.at for question in questions(settings) for part in ledger.of(question).values())
    asker = Asker(terms.teacher, ledger, limiter, terms.concurrency, accepted=accepted)
    settled = asker.settle(_missing(ledger, settings) if accepted else _spread(ledger, settings, total))

    def spent() -> str:
        money = f", ${cost(terms.prices, ledger.spent):.2f}" if terms.prices else ""
        return f"{sum(ledger.spent.as_dict().values()):,} tokens{money}"

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # as an exception: what is under way is kept
    with closing(settled):
        for question in progress(settled, total=total, desc="caption", unit="images", note=spent):
            answered = ledger.of(question)
            if reason := answered.failure:
                print(f"caption: {question.path}: {reason}", file=sys.stderr)
            for aspect in answered.repeating:
                print(f"caption: {question.path}: {aspect} {REPEATS}, and is kept", file=sys.stderr)


def _largest(terms: Terms, ledger: Ledger, settings: Settings) -> int:
    """Input tokens of the largest request so far, or of the likely largest one, counted by the service."""
    if terms.service is None or terms.limits.input_tokens_per_minute is None:
        return 0
    if ledger.largest_input:
        return ledger.largest_input
    wordiest = max(_missing(ledger, settings), key=lambda question: len(question.prompt))
    heaviest = max(_missing(ledger, settings), key=lambda question: question.path.stat().st_size)
    try:
        return max(input_tokens((wordiest, heaviest), terms.service.teacher.count_tokens))
    except Refused:
        return 0  # the first answer will tell: until then one is asked at a time


def _kept(settings: Settings, name: str) -> Path:
    """Where something is kept for this kind of teacher, under the repository that DVC works for."""
    return cache() / "caption" / settings.teachers[settings.teacher].kind / name
