"""The teacher of the settings, at work on the images of a data set.

What a paid teacher answers is kept under DVC_ROOT, outside the outs and outside a `--temp` copy of the repository:
the captions are built from there, so the same journal gives the same bytes.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from analyzers.asking import Asker
from analyzers.estimate import duration, sampled_input
from analyzers.gemini import Gemini
from analyzers.ledger import Ledger, Totals
from analyzers.limits import Limiter
from analyzers.measurements import measure
from analyzers.offline import OfflineTeacher
from analyzers.teacher import Question, Usage
from data.images import load_image
from data.journal import Journal
from data.tables import aspects_of
from stages import paths
from stages.progress import progress
from stages.settings import Prices, Settings

TERMINATED = 143  # exit status: 128 + SIGTERM


@dataclass(frozen=True)
class Options:
    """What may be asked for on the command line."""

    dry_run: bool = False
    retry_blocked: bool = False
    refresh: bool = False


@dataclass(frozen=True)
class Described:
    """What the teacher said, of which images it said nothing and why, and what that took."""

    captions: pd.DataFrame
    failures: dict[str, str] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    prices: Prices | None = None

    def reasons(self) -> str:
        return ", ".join(f"{count} × {reason}" for reason, count in Counter(self.failures.values()).most_common())

    def summary(self) -> dict[str, object]:
        usage = self.totals.usage
        return {
            "images": len(self.captions) + len(self.failures),
            "described": len(self.captions),
            "failed": len(self.failures),
            "failures": dict(sorted(Counter(self.failures.values()).items())),
            "requests": self.totals.requests,
            "answers": self.totals.answers,
            "tokens": usage.as_dict(),
            "usd": round(self.prices.cost(usage), 4) if self.prices else 0.0,
            "prices_of": f"{self.prices.date}" if self.prices else None,
            "answered_by": dict(sorted(self.totals.versions.items())),
        }


def describe(settings: Settings, seen: pd.DataFrame, options: Options) -> Described:
    if settings.teachers[settings.teacher].kind == "offline":
        return _offline(settings, seen)
    return _paid(settings, seen, options)


def estimate(settings: Settings, seen: pd.DataFrame, options: Options) -> str:
    """What `describe` would take; nothing is paid to find out."""
    profile, questions = settings.teachers[settings.teacher], _questions(settings, seen)
    if profile.kind == "offline":
        return f"{len(questions)} images, described here by {profile.kind}: no requests, no cost"
    with _ledger(settings) as (teacher, ledger):
        todo = _to_ask(ledger, questions, options)
        failed = sum(ledger.failure(question) is not None for question in questions)
        lines = [f"{len(questions)} images, {failed} of them failed before; {len(todo)} new requests"]
        if not todo:
            return lines[0]
        tokens, counted = sampled_input(todo, teacher.count_tokens)
        mean = ledger.mean_output()
        usage = Usage(tokens, (profile.max_output_tokens if mean is None else round(mean)) * len(todo))
    limits = settings.runtime.teacher.model_dump(exclude={"concurrency", "timeout"})
    source = f"at most, {profile.max_output_tokens:,} each" if mean is None else "by the mean of the answers so far"
    prices = f"${profile.prices.input:g} in and ${profile.prices.output:g} out a million tokens"
    return "\n".join(
        [
            *lines,
            f"input:  {usage.input:,} tokens (counted by the service on {counted} of them)",
            f"output: {usage.output:,} tokens ({source})",
            f"cost:   ${profile.prices.cost(usage):.2f} (prices of {profile.prices.date}: {prices})",
            f"time:   {duration(len(todo), usage.input, **limits)} or more, at the limits in runtime.teacher",
        ]
    )


def _offline(settings: Settings, seen: pd.DataFrame) -> Described:
    files = [paths.raw(settings.dataset) / path for path in seen["path"]]
    measured = progress(files, total=len(files), desc="measure", unit="images")
    teacher = OfflineTeacher(measure(load_image(file)) for file in measured)
    rows = []
    labelled = zip(files, seen.to_dict("records"), strict=True)
    for file, sample in progress(labelled, total=len(files), desc="caption", unit="images"):
        mos = {aspect: sample[f"mos_{aspect}"] for aspect in aspects_of(seen)}
        explanations = teacher.describe(load_image(file), sample["prompt"], mos, sample["comment"])
        rows.append({"image_id": sample["image_id"], **explanations, "teacher": teacher.name})
    return Described(pd.DataFrame(rows))


def _paid(settings: Settings, seen: pd.DataFrame, options: Options) -> Described:
    profile, questions = settings.teachers[settings.teacher], _questions(settings, seen)
    with _ledger(settings) as (teacher, ledger):
        if todo := _to_ask(ledger, questions, options):
            _ask(settings, todo, teacher, ledger)
        rows, failures = [], {}
        for question in questions:
            if explanations := ledger.explanations(question):
                row = {"image_id": question.image_id, **explanations, "teacher": profile.kind}
                rows.append({**row, "saw_mos": profile.show_mos})
            else:
                failures[question.image_id] = ledger.failure(question)
        columns = ["image_id", *aspects_of(seen), "teacher", "saw_mos"]
        return Described(pd.DataFrame(rows, columns=columns), failures, ledger.totals(questions), profile.prices)


def _to_ask(ledger: Ledger, questions: list[Question], options: Options) -> list[Question]:
    if options.refresh or options.retry_blocked:
        ledger.forget(questions, only_failures=not options.refresh)
    return [question for question in questions if ledger.missing(question)]


def _ask(settings: Settings, todo: list[Question], teacher: Gemini, ledger: Ledger) -> None:
    runtime, profile = settings.runtime.teacher, settings.teachers[settings.teacher]
    largest = ledger.largest_input() or teacher.count_tokens(max(todo, key=lambda question: len(question.prompt)))
    limiter = Limiter(
        requests_per_minute=runtime.requests_per_minute,
        input_tokens_per_minute=runtime.input_tokens_per_minute,
        requests_per_day=runtime.requests_per_day,
        tokens_a_request=largest,
        notes=_folder() / f"{profile.kind}-requests.txt",
    )

    def spent() -> str:
        return f"{sum(ledger.spent.as_dict().values()):,} tokens, ${profile.prices.cost(ledger.spent):.2f}"

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # as an exception: what is under way is kept
    with closing(limiter):
        settled = Asker(teacher, ledger, limiter, runtime.concurrency).settle(todo)
        for question in progress(settled, total=len(todo), desc="caption", unit="images", note=spent):
            if reason := ledger.failure(question):
                print(f"caption: {question.path}: {reason}", file=sys.stderr)


def _questions(settings: Settings, seen: pd.DataFrame) -> list[Question]:
    aspects = aspects_of(seen)
    return [
        Question(
            image_id=sample["image_id"],
            path=paths.raw(settings.dataset) / sample["path"],
            sha256=sample["sha256"],
            prompt=sample["prompt"],
            mos={aspect: sample[f"mos_{aspect}"] for aspect in aspects},
        )
        for sample in seen.to_dict("records")
    ]


@contextmanager
def _ledger(settings: Settings) -> Iterator[tuple[Gemini, Ledger]]:
    profile = settings.teachers[settings.teacher]
    teacher = Gemini(
        **profile.model_dump(include={"model", "temperature", "max_output_tokens", "show_mos", "sdk"}),
        timeout=settings.runtime.teacher.timeout,
    )
    with Journal(_folder() / f"{profile.kind}.jsonl") as journal:
        yield teacher, Ledger(journal, teacher.key)


def _folder() -> Path:
    return Path(os.environ.get("DVC_ROOT", ".")) / ".cache/caption"
