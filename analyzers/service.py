"""What a service must offer that answers many questions at once, in jobs, when it has time."""

from pathlib import Path
from typing import Any, Protocol

from analyzers.teacher import Answer, Question


class State(Protocol):
    """How a job stands, and the file of its answers."""

    @property
    def name(self) -> str: ...

    @property
    def answers(self) -> str | None: ...


class Batch(Protocol):
    """A service that takes jobs. Methods that reach it raise what Teacher.ask does."""

    @property
    def share(self) -> float:
        """Of the price."""

    @property
    def most_bytes(self) -> int:
        """Of a job's file."""

    @property
    def most_requests(self) -> int:
        """Of a job."""

    @property
    def most_jobs(self) -> int:
        """At once."""

    def line(self, key: str, question: Question) -> bytes:
        """A request, as it stands in a job's file."""

    def answer(self, line: dict[str, Any]) -> Answer:
        """What a line of a job's answers says."""

    def upload(self, requests: Path, name: str) -> str: ...

    def create(self, file: str, name: str) -> str: ...

    def find(self, name: str) -> str | None: ...

    def look(self, job: str) -> State: ...

    def fetch(self, file: str, to: Path) -> None: ...

    def discard(self, file: str) -> None: ...
