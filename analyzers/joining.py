"""Joins journals: what others have answered goes into ours, each record once, so that nothing is asked twice.

The others are those of other machines, which have each asked about a shard of the images, and those of the processes
that the teacher `mllm` runs in. A record that is here already is passed over. So it does no harm to join a journal
twice, nor to be killed on the way.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import pydantic

from m3agiqa.errors import InputError
from m3agiqa.files import fingerprint
from m3agiqa.journal import Journal, records
from m3agiqa.json_text import read_object

NAME = "answers.jsonl"
Hash = Annotated[str, pydantic.Field(pattern=r"^[0-9a-f]{64}$")]


class _Record(pydantic.BaseModel, strict=True):
    """What every answer's record says, whatever version wrote it; what else it says is kept, too."""

    image: str
    key: Hash
    parts: dict[str, Hash]
    explanations: dict[str, str]
    unusable: dict[str, str]
    blocked: str | None
    finish_reason: str
    model_version: str
    usage: dict[Literal["input", "output", "thinking"], int]
    attempts: int
    at: float


def join(ours: Path, paths: Sequence[Path]) -> str:
    """Take over what the journals at `paths`, or in these folders, have answered of the kind of teacher of `ours`.

    Raises:
        InputError: one is no journal of answers, or there are jobs at the service whose answers it is yet to have.
    """
    kind = ours.parent.name
    journals = [journal for path in paths for journal in _journals(path, kind)]
    for path in journals:
        _check_jobs(path.with_name("jobs.jsonl"))
    found = tokens = 0
    for path in journals:  # read to the end, before anything is taken
        for record in _answers(path):
            found, tokens = found + 1, tokens + sum(record["usage"].values())
    with Journal(ours) as journal:
        before = len(journal)
        add(journal, (record for path in journals for record in _answers(path)), journal.append)
        new = len(journal) - before
    told = f"{found} records in {len(journals)} journals, {new} of them new in {ours}"
    return f"{told}; what they cost counts towards max_usd here, too" if tokens else told


def take_over(folder: Path, journal: Journal, enter: Callable[[dict[str, Any]], object]) -> None:
    """What other processes of this run, or of a run before, have left beside the journal in its `folder`."""
    if paths := _of_processes(folder):
        with ExitStack() as held:
            add(journal, chain.from_iterable(held.enter_context(Journal(path)) for path in paths), enter)
            for path in paths:
                path.unlink()


@contextmanager
def copied(place: Path) -> Iterator[Journal]:
    """The journal at `place`, and what other processes have left beside it, as they are now; nobody is waited for."""
    beside: list[dict[str, Any]] = []
    for path in _of_processes(place.parent):
        with suppress(FileNotFoundError):  # it was just taken over: what it had is in the journal, which is read next
            beside += records(path)
    with TemporaryDirectory() as folder, Journal(Path(folder) / NAME) as copy:
        copy.extend(records(place))
        new: list[dict[str, Any]] = []
        add(copy, beside, new.append)
        copy.extend(new)
        yield copy


def add(journal: Journal, others: Iterable[dict[str, Any]], enter: Callable[[dict[str, Any]], object]) -> None:
    """Have those of the records entered that the journal does not hold."""
    here = {fingerprint(record) for record in journal}
    for record in others:
        if (name := fingerprint(record)) not in here:
            here.add(name)
            enter(record)


def _of_processes(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{Path(NAME).stem}-*.jsonl"))


def _journals(path: Path, kind: str) -> list[Path]:
    if path.is_file():
        return [path]
    for folder in (path, path / kind, path / "caption" / kind, path / ".cache" / "caption" / kind):
        if found := sorted(folder.glob(f"{Path(NAME).stem}*.jsonl")):
            return found
    raise InputError(f"{path}: expected a journal, {kind}/{NAME}, or a folder .cache/caption that has one")


def _answers(path: Path) -> Iterator[dict[str, Any]]:
    """The records, but for a last one that a kill has torn, or that is being written."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.startswith(b"{") and not line.endswith(b"\n"):
                return
            yield _answer(line, f"{path}, line {number}")


def _answer(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = read_object(line, where)
        _Record.model_validate(record)
    except InputError as error:
        raise InputError(f"{error}; expected a teacher's answer") from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the line"
        raise InputError(f"{where}: not a teacher's answer ({place}: {first['msg']})") from None
    return record


def _check_jobs(path: Path) -> None:
    """Raises InputError where a service is still at work on some of what a journal is to have."""
    waiting: set[str] = set()
    for record in records(path) if path.exists() else ():
        waiting |= {record["planned"]} if "planned" in record else set()
        waiting -= {record["ended"]} if "ended" in record else set()
    if waiting:
        raise InputError(
            f"{path}: jobs whose answers are not taken yet: {', '.join(sorted(waiting))}; run caption there first, "
            "with the settings of then, or they are paid for twice; where they are given up, remove this file"
        )
