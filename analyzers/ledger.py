"""What a teacher has been asked and what it answered: a journal, read as one state for each aspect of each image.

Every answer that was paid for is one record, usable or not. It tells by `parts`, a content hash for each aspect that
was asked for, what it answers: whoever asks the same again, about the same bytes and in the same words, finds it
here, whatever else has changed since.

An aspect is described by its last usable explanation. It is failed, and left alone from then on, when the model
refused the image, or its answers were unusable as often as the teacher may try.

Nothing of this is kept in memory: which records tell of which part stands in a temporary SQLite file, made anew from
the journal each time.
"""

import errno
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from analyzers.explanations import Checked, check
from analyzers.teacher import Answer, Question, Teacher, Usage
from m3agiqa.journal import Journal


@dataclass
class AspectState:
    """One aspect of one image, as the records so far leave it."""

    explanation: str | None = None
    failure: str | None = None
    unusable: int = 0
    at: float = 0.0  # of the last record, in seconds since the epoch

    def after(self, record: dict[str, Any], aspect: str, tries: int) -> "AspectState":
        """The same, one record later."""
        if aspect in record["explanations"]:
            return AspectState(record["explanations"][aspect], at=record["at"])
        if record["blocked"]:
            return AspectState(self.explanation, record["blocked"], self.unusable, record["at"])
        often = self.unusable + 1 >= tries
        failure = f"unusable: {record['unusable'][aspect]}" if often else self.failure
        return AspectState(self.explanation, failure, self.unusable + 1, record["at"])


class ImageState(dict[str, AspectState]):
    """How things stand with one image: an AspectState for each of its aspects."""

    @property
    def missing(self) -> list[str]:
        """The aspects that are neither described nor failed."""
        return [aspect for aspect, part in self.items() if part.explanation is None and part.failure is None]

    @property
    def explanations(self) -> dict[str, str] | None:
        """All of them, or None."""
        found = {aspect: part.explanation for aspect, part in self.items() if part.explanation is not None}
        return found if len(found) == len(self) else None

    @property
    def failure(self) -> str | None:
        """Why the image is not described, if that is settled."""
        return next((part.failure for part in self.values() if part.explanation is None and part.failure), None)


class Ledger:
    """The journal's answers, as the questions to `teacher` find them."""

    def __init__(self, journal: Journal, teacher: Teacher) -> None:
        self._journal, self._teacher = journal, teacher
        self._index = _Index()
        self._lock = threading.Lock()
        self._outputs = 0
        self.largest_input = 0  # tokens of the largest request so far, 0 where there was none
        self.spent = Usage()  # since this ledger was opened
        for number, record in enumerate(journal):
            self._enter(number, record)

    def of(self, question: Question) -> ImageState:
        """How things stand with a question's aspects."""
        keys = self._keys(question)
        with self._lock:
            told = {aspect: self._index.of(key) for aspect, key in keys.items()}
            records = {number: self._journal[number] for number in set().union(*told.values())}
        state = ImageState()
        for aspect, numbers in told.items():
            state[aspect] = AspectState()
            for number in numbers:
                state[aspect] = state[aspect].after(records[number], aspect, self._teacher.tries)
        return state

    def forget(self, question: Question, forgettable: Callable[[AspectState], bool]) -> None:
        """Have these parts asked again. The records stay, and so does what they cost."""
        keys = self._keys(question)
        for aspect, part in self.of(question).items():
            if forgettable(part):
                self._index.drop(keys[aspect])

    def record(self, question: Question, answer: Answer, *, attempts: int, seconds: float, at: float) -> None:
        """Put an answer on the disk, then into the state."""
        usable, wrong = Checked({}, {}) if answer.blocked else check(answer.said, question.mos)
        record = {
            "image": question.image_id,
            "key": self._teacher.key(question),
            "parts": self._keys(question),
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
        with self._lock:
            self._enter(self._journal.append(record), record)
            self.spent += answer.usage

    def totals(self, questions: Iterable[Question]) -> "Totals":
        """What was spent on these images, over all runs, and who served."""
        totals, counted = Totals(), bytearray(len(self._journal))
        for question in questions:
            for key in self._keys(question).values():
                for number in self._index.of(key):
                    if not counted[number]:
                        counted[number] = True
                        totals.add(self._journal[number])
        return totals

    def mean_output(self) -> float | None:
        """Output and thinking tokens of an answer, on average; None before the first."""
        return self._outputs / len(self._journal) if len(self._journal) else None

    def _keys(self, question: Question) -> dict[str, str]:
        return {aspect: self._teacher.key(question.about([aspect])) for aspect in question.mos}

    def _enter(self, number: int, record: dict[str, Any]) -> None:
        usage = record["usage"]
        self.largest_input = max(self.largest_input, usage["input"])
        self._outputs += usage["output"] + usage["thinking"]
        self._index.add(record["parts"].values(), number)


class _Index:
    """Which records tell of which part."""

    def __init__(self) -> None:
        self._told = sqlite3.connect("", isolation_level=None, check_same_thread=False)  # "" is a temporary file
        self._told.execute("PRAGMA journal_mode = OFF")
        self._told.execute("CREATE TABLE told (part BLOB, record INTEGER, PRIMARY KEY (part, record)) WITHOUT ROWID")

    def add(self, parts: Iterable[str], record: int) -> None:
        rows = [(bytes.fromhex(part), record) for part in parts]
        try:
            self._told.executemany("INSERT OR IGNORE INTO told VALUES (?, ?)", rows)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            raise OSError(errno.ENOSPC, "No space left for SQLite's temporary file (TMPDIR)") from None

    def of(self, part: str) -> list[int]:
        """The records' numbers, in the order in which they came."""
        found = self._told.execute("SELECT record FROM told WHERE part = ? ORDER BY record", (bytes.fromhex(part),))
        return [record for (record,) in found]

    def drop(self, part: str) -> None:
        self._told.execute("DELETE FROM told WHERE part = ?", (bytes.fromhex(part),))


class Totals:
    """What was spent: requests, failed ones before an answer included, and tokens."""

    def __init__(self) -> None:
        self.answers, self.requests, self.usage = 0, 0, Usage()
        self.versions: Counter[str] = Counter()

    def add(self, record: dict[str, Any]) -> None:
        self.answers += 1
        self.requests += record["attempts"]
        self.usage += Usage(**record["usage"])
        self.versions[record["model_version"]] += 1
