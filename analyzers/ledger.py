"""What a teacher has been asked and what it answered: a journal, read as one state for each aspect of each image.

Every answer that was paid for is one record, usable or not. It tells by `parts`, a content hash for each aspect that
was asked for, what it answers: whoever asks the same again, about the same bytes and in the same words, finds it
here, whatever else has changed since.

An aspect is described by its last usable explanation. It is failed, and left alone from then on, when the model
refused the image, or its answers were unusable as often as the teacher may try.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from analyzers.explanations import check
from analyzers.teacher import Answer, Question, Teacher, Usage
from data.journal import Journal


@dataclass
class Part:
    """One aspect of one image, as the records so far leave it."""

    explanation: str | None = None
    failure: str | None = None
    unusable: int = 0
    at: float = 0.0  # of the last record, in seconds since the epoch


class Ledger:
    """The journal's answers, as the questions to `teacher` find them."""

    def __init__(self, journal: Journal, teacher: Teacher) -> None:
        self._journal, self._teacher = journal, teacher
        self._parts: dict[str, Part] = {}
        self._lock = threading.Lock()
        self.spent = Usage()  # since this ledger was opened
        for record in journal.records.values():
            self._apply(record)

    def missing(self, question: Question) -> list[str]:
        """The aspects that are neither described nor failed."""
        parts = self._of(question)
        return [aspect for aspect, part in parts.items() if part.explanation is None and part.failure is None]

    def explanations(self, question: Question) -> dict[str, str] | None:
        """All of them, or None."""
        found = {aspect: part.explanation for aspect, part in self._of(question).items()}
        return None if None in found.values() else found

    def failure(self, question: Question) -> str | None:
        """Why the image is not described, if that is settled."""
        parts = self._of(question).items()
        reasons = [part.failure for _, part in parts if part.explanation is None and part.failure]
        return reasons[0] if reasons else None

    def forget(self, questions: Iterable[Question], forgettable: Callable[[Part], bool]) -> None:
        """Have these parts asked again. The records stay, and so does what they cost."""
        for question in questions:
            for aspect, part in self._of(question).items():
                if forgettable(part):
                    self._parts[self._part_key(question, aspect)] = Part()

    def record(self, question: Question, answer: Answer, *, attempts: int, seconds: float, at: float) -> None:
        """Put an answer on the disk, then into the state."""
        usable, wrong = ({}, {}) if answer.blocked else check(answer.said, question.mos)
        record = {
            "image": question.image_id,
            "parts": {aspect: self._part_key(question, aspect) for aspect in question.mos},
            "explanations": usable,
            "unusable": wrong,
            "blocked": answer.blocked,
            "finish_reason": answer.finish_reason,
            "model_version": answer.model_version,
            "usage": answer.usage.as_dict(),
            "attempts": attempts,
            "seconds": round(seconds, 3),
            "at": round(at, 3),
        }
        key = self._teacher.key(question)
        with self._lock:
            self._journal.append(f"{key[:32]}-{len(self._journal.records)}", record)
            self._apply(record)
            self.spent += answer.usage

    def totals(self, questions: Iterable[Question]) -> "Totals":
        """What was spent on these images, over all runs, and who served."""
        parts = {self._part_key(question, aspect) for question in questions for aspect in question.mos}
        totals = Totals()
        for record in self._journal.records.values():
            if not parts.isdisjoint(record["parts"].values()):
                totals.answers += 1
                totals.requests += record["attempts"]
                totals.usage += Usage(**record["usage"])
                totals.versions[record["model_version"]] += 1
        return totals

    def largest_input(self) -> int:
        """Input tokens of the largest request so far, 0 where there was none."""
        return max((record["usage"]["input"] for record in self._journal.records.values()), default=0)

    def mean_output(self) -> float | None:
        """Output and thinking tokens of an answer, on average; None before the first."""
        usages = [record["usage"] for record in self._journal.records.values()]
        return sum(usage["output"] + usage["thinking"] for usage in usages) / len(usages) if usages else None

    def _of(self, question: Question) -> dict[str, Part]:
        unasked = Part()
        return {aspect: self._parts.get(self._part_key(question, aspect), unasked) for aspect in question.mos}

    def _part_key(self, question: Question, aspect: str) -> str:
        return self._teacher.key(question.about([aspect]))

    def _apply(self, record: dict[str, Any]) -> None:
        for aspect, key in record["parts"].items():
            part = self._parts.setdefault(key, Part())
            part.at = record["at"]
            if record["blocked"]:
                part.failure = record["blocked"]
            elif aspect in record["explanations"]:
                self._parts[key] = Part(record["explanations"][aspect], at=record["at"])
            else:
                part.unusable += 1
                if part.unusable >= self._teacher.tries:
                    part.failure = f"unusable: {record['unusable'][aspect]}"


class Totals:
    """What was spent: requests, failed ones before an answer included, and tokens."""

    def __init__(self) -> None:
        self.answers, self.requests, self.usage = 0, 0, Usage()
        self.versions: Counter[str] = Counter()
