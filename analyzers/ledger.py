"""What a teacher has been asked and what it answered: a journal, read as one state for each aspect of each image.

Every answer that was paid for is one record, usable or not. It tells by `parts`, a content hash for each aspect that
was asked for, what it answers: whoever asks the same again, about the same bytes and in the same words, finds it
here, whatever else has changed since.

A request whose answer was lost is a record too, and tells of no aspect: it may have been billed.

An aspect is described by its last usable explanation. It is failed, and left alone from then on, when the model or the
service refused the image, when its answers were cut off twice, or unusable as often as the teacher may try, or when to
ask again would bring the same. A text with no fault but that it repeats the score then stands after all: three answers
were paid for it.

Nothing of this is kept in memory: which records tell of which part stands in a temporary SQLite file, made anew from
the journal each time.
"""

import errno
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from analyzers.explanations import REPEATS, Checked, check, one_line
from analyzers.teacher import CUT, Answer, Known, Question, Usage
from analyzers.totals import LOST, REFUSED, Totals
from m3agiqa.journal import Journal

MOST_CUT = 2  # answers that end at the limit of tokens: a second one may be shorter


@dataclass(frozen=True)
class AspectState:
    """One aspect of one image, as the records so far leave it."""

    explanation: str | None = None
    failure: str | None = None
    repeating: str | None = None  # the last text that was refused for nothing but repeating the score
    unusable: int = 0  # answers
    cut: int = 0  # answers
    at: float = 0.0  # of the last record, in seconds since the epoch

    def after(self, record: dict[str, Any], aspect: str, tries: int) -> "AspectState":
        """The same, one record later."""
        if record["finish_reason"] == LOST:
            return self
        if aspect in record["explanations"]:
            return AspectState(record["explanations"][aspect], at=record["at"])
        last = record.get("last", False)
        if blocked := record["blocked"]:
            cut = self.cut + (record["finish_reason"] == CUT)
            again = record["finish_reason"] == CUT and cut < MOST_CUT and not last
            return replace(self, cut=cut, at=record["at"]).failed(None if again else blocked)
        final = last or self.unusable + 1 >= tries
        failure = f"unusable: {record['unusable'][aspect]}" if final else None
        repeating = record.get("repeating", {}).get(aspect, self.repeating)
        return replace(self, unusable=self.unusable + 1, repeating=repeating, at=record["at"]).failed(failure)

    def failed(self, failure: str | None) -> "AspectState":
        """With this failure, if it is one, or with the text that is better than none."""
        if failure and self.repeating and self.explanation is None:
            return replace(self, explanation=self.repeating)
        return replace(self, failure=failure or self.failure)

    @property
    def untried(self) -> bool:
        """Whether nothing was ever answered."""
        return not self.at

    @property
    def repeats(self) -> bool:
        """Whether the explanation repeats the score."""
        return self.explanation is not None and self.explanation == self.repeating


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

    @property
    def repeating(self) -> tuple[str, ...]:
        """The aspects whose explanation repeats the score."""
        return tuple(aspect for aspect, part in self.items() if part.repeats)


class Ledger:
    """The journal's answers, as the questions to `teacher` find them."""

    def __init__(self, journal: Journal, teacher: Known) -> None:
        self.journal, self._teacher = journal, teacher
        self._index = _Index()
        self._lock = threading.Lock()
        self.spent = Totals()  # since this ledger was opened
        for number, record in enumerate(journal):
            self._index.add(record["parts"].values(), number)

    def of(self, question: Question) -> ImageState:
        """How things stand with a question's aspects."""
        keys = self._keys(question)
        with self._lock:
            told = {aspect: self._index.of(key) for aspect, key in keys.items()}
            records = {number: self.journal[number] for number in set().union(*told.values())}
        state = ImageState()
        for aspect, numbers in told.items():
            state[aspect] = AspectState()
            for number in sorted(numbers, key=lambda number: records[number]["at"]):  # what was joined may be older
                state[aspect] = state[aspect].after(records[number], aspect, self._teacher.tries)
        return state

    def forget(self, question: Question, forgettable: Callable[[AspectState], bool]) -> None:
        """Have these parts asked again. The records stay, and so does what they cost."""
        keys = self._keys(question)
        for aspect, part in self.of(question).items():
            if forgettable(part):
                self._index.drop(keys[aspect], self._index.of(keys[aspect]))

    def forget_before(self, question: Question, at: float) -> None:
        """The same of the records that are older, each for itself: some tries of an aspect may be newer."""
        for key in self._keys(question).values():
            self._index.drop(key, [number for number in self._index.of(key) if self.journal[number]["at"] < at])

    def about(self, question: Question) -> dict[str, Any]:
        """Which image and which parts of what is asked a record is about."""
        return {"image": question.image_id, "key": self._teacher.key(question), "parts": self._keys(question)}

    def record(
        self,
        question: Question,
        answer: Answer,
        *,
        attempts: int,
        seconds: float,
        at: float,
        share: float = 1.0,
        job: str | None = None,
    ) -> None:
        """Put an answer on the disk, then into the state; it cost this `share` of the price, and came in a `job`."""
        usable, wrong = Checked({}, {}) if answer.blocked else check(answer.said, question.mos)
        record = {
            **self.about(question),
            "explanations": usable,
            "unusable": wrong,
            "repeating": {aspect: one_line(answer.said[aspect]) for aspect in wrong if wrong[aspect] == REPEATS},
            "blocked": answer.blocked,
            "finish_reason": answer.finish_reason,
            "model_version": answer.model_version,
            "usage": answer.usage.as_dict(),
            "attempts": attempts,
            "seconds": round(seconds, 3),
            "at": round(at, 3),
        }
        if share != 1:
            record["price_share"] = share
        if job is not None:
            record["job"] = job
        if answer.last:
            record["last"] = True
        self.enter(record)

    def lose(self, about: Mapping[str, Any], *, attempts: int, at: float, share: float = 1.0) -> None:
        """Put it on the disk that the answer to a request is lost: `about` is what the method of that name said."""
        ids = {name: about[name] for name in ("image", "key", "parts")}
        spent = {"usage": Usage().as_dict(), "attempts": attempts, "at": round(at, 3), "price_share": share}
        nothing: dict[str, Any] = {"explanations": {}, "unusable": {}, "blocked": None, "model_version": ""}
        self.enter({**ids, **nothing, "finish_reason": LOST, **spent})

    def answered_in(self, job: str) -> set[str]:
        """Keys of the requests whose answers in this job are here."""
        return {record["key"] for record in self.journal if record.get("job") == job}

    def answered_since(self, about: Mapping[str, Any], at: float) -> bool:
        """Whether there is a record about this request, or an image just like it, of `at` or later."""
        part = next(iter(about["parts"].values()))
        with self._lock:
            return any(self.journal[number]["at"] >= round(at, 3) for number in self._index.of(part))

    def refuse(self, question: Question, reason: str, *, attempts: int, at: float) -> None:
        """Put it on the disk that the service does not take this request, then into the state."""
        refusal = Answer(None, finish_reason=REFUSED, model_version="", usage=Usage(), blocked=f"request: {reason}")
        self.record(question, refusal, attempts=attempts, seconds=0.0, at=at)

    def totals(self, questions: Iterable[Question]) -> Totals:
        """What was spent on these images, over all runs, and who served."""
        totals, counted = Totals(), bytearray(len(self.journal))
        for question in questions:
            before = totals.answers
            for key in self._keys(question).values():
                for number in self._index.of(key):
                    if not counted[number]:
                        counted[number] = True
                        totals.add(self.journal[number])
            totals.images += totals.answers > before
        return totals

    def enter(self, record: dict[str, Any]) -> None:
        """Put a record on the disk, then into the state."""
        with self._lock:
            self._index.add(record["parts"].values(), self.journal.append(record))
            self.spent.add(record)

    def _keys(self, question: Question) -> dict[str, str]:
        return {aspect: self._teacher.key(question.about([aspect])) for aspect in question.mos}


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
        """The records' numbers, in the order in which they stand."""
        found = self._told.execute("SELECT record FROM told WHERE part = ? ORDER BY record", (bytes.fromhex(part),))
        return [record for (record,) in found]

    def drop(self, part: str, records: Iterable[int]) -> None:
        rows = [(bytes.fromhex(part), record) for record in records]
        self._told.executemany("DELETE FROM told WHERE part = ? AND record = ?", rows)
