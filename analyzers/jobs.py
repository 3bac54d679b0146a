"""Which questions were handed to a service as jobs: each job is on the disk before it is sent, with all it asks.

A journal of events: a job is planned, the service's name for it is known, it has ended. The questions stand there as a
whole, so that answers can be taken whatever has become of splits and settings since.

The name under which a job is sent is a hash of its questions and of how many jobs were planned before it. By that name
it is found again where a kill left it open whether it was sent.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analyzers.teacher import Known, Question
from m3agiqa.files import fingerprint
from m3agiqa.journal import Journal


@dataclass
class Job:
    """Questions by their key; `sent` is the service's name, once it is known."""

    name: str
    file: str  # of the requests, at the service
    at: float  # when it was planned, in seconds since the epoch
    questions: dict[str, Question]
    sent: str | None = None
    parts: set[str] = field(default_factory=set)  # of what is asked, once anybody wants to know


class Jobs:
    """The jobs in a `journal` of their own, as `teacher` finds them."""

    def __init__(self, journal: Journal, teacher: Known) -> None:
        self._journal, self._teacher = journal, teacher
        self._open: dict[str, Job] = {}
        self._planned = 0
        self.failures: Counter[str] = Counter()  # of a question's key: jobs in which it got no answer
        for record in self._journal:
            self._follow(record)

    def open(self) -> list[Job]:
        """Those that have not ended, and ask this teacher with its settings."""
        return [job for job in self._open.values() if self._ours(job)]

    def parts(self) -> set[str]:
        """Keys of the parts that the open ones ask for."""
        return set().union(*(self._parts(job) for job in self.open()))

    def name(self, keys: Sequence[str]) -> str:
        """Of a job that asks this, if it is the next."""
        return f"m3agiqa-{fingerprint([self._planned, sorted(keys)])[:24]}"

    def plan(self, file: str, questions: Mapping[str, Question]) -> Job:
        """Remember a job that is about to be sent."""
        asked = [_record(key, question) for key, question in questions.items()]
        name = self.name(list(questions))
        self._add({"planned": name, "file": file, "at": round(time.time(), 3), "questions": asked})
        return self._open[name]

    def sent(self, job: Job, known_as: str) -> None:
        self._add({"sent": job.name, "as": known_as})

    def end(self, job: Job, state: str, failures: Sequence[str] = ()) -> None:
        """It is done with; `failures` are the keys of what was not answered."""
        self._add({"ended": job.name, "state": state, "failures": list(failures)})

    def _add(self, record: dict[str, Any]) -> None:
        self._journal.append(record)
        self._follow(record)

    def _follow(self, record: dict[str, Any]) -> None:
        if name := record.get("planned"):
            self._planned += 1
            questions = {each["key"]: _question(each) for each in record["questions"]}
            self._open[name] = Job(name, record["file"], record["at"], questions)
        elif name := record.get("sent"):
            self._open[name].sent = record["as"]
        else:
            self._open.pop(record["ended"], None)
            self.failures.update(record["failures"])

    def _parts(self, job: Job) -> set[str]:
        if not job.parts:
            every = job.questions.values()
            job.parts |= {self._teacher.key(question.about([aspect])) for question in every for aspect in question.mos}
        return job.parts

    def _ours(self, job: Job) -> bool:
        key, question = next(iter(job.questions.items()))
        return self._teacher.key(question) == key


def _record(key: str, question: Question) -> dict[str, Any]:
    named = {"image": question.image_id, "path": str(question.path), "sha256": question.sha256}
    return {"key": key, **named, "prompt": question.prompt, "mos": dict(question.mos)}


def _question(record: Mapping[str, Any]) -> Question:
    return Question(record["image"], Path(record["path"]), record["sha256"], record["prompt"], record["mos"])
