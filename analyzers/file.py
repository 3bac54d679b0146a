"""Teacher `file`: explanations written by hand or by another service, one row an image.

A .csv with the columns `name` or `image` (the image's file name) and one for each aspect, or a .jsonl with the same
keys; other columns are ignored. UTF-8; m3agiqa/csv_rows.py says how a csv is read.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize

from analyzers.captions import Described
from analyzers.explanations import REPEATS, check, one_line
from analyzers.teacher import Question
from m3agiqa.csv_rows import Record, by_column, header_of, image_column, records
from m3agiqa.errors import InputError
from m3agiqa.json_text import read_object


def read_explanations(path: Path, questions: Iterable[Question], others: Iterable[str]) -> dict[str, Described]:
    """What `path` says, by image_id; `others` are file names of the data set that need no explanation.

    One that repeats the score is kept, as the last answer of any other teacher is.

    Raises:
        InputError: naming the row: an unknown or repeated name, an explanation that check() refuses for more than that.
    """
    by_name = {normalize("NFC", question.path.name): question for question in questions}
    known = {*by_name, *(normalize("NFC", name) for name in others)}
    found: dict[str, Described] = {}
    first: dict[str, str] = {}
    for where, row in _rows(path):
        given = row.get(image_column(list(row)))
        name = normalize("NFC", given) if isinstance(given, str) else given
        if name not in known:
            raise InputError(f"{where}: name is {given!r}, which is no image of this data set")
        if name in first:
            raise InputError(f"{where}: name {name!r} stands in {first[name]} already")
        first[name] = where.removeprefix(f"{path}, ")
        if question := by_name.get(name):
            found[question.image_id] = _described(where, row, question)
    return found


def _described(where: str, row: Mapping[str, Any], question: Question) -> Described:
    usable, wrong = check(row, question.mos)
    for aspect, complaint in wrong.items():
        if complaint != REPEATS:
            raise InputError(f"{where}: {aspect} of {question.path.name!r}: {complaint}")
    said = {aspect: usable.get(aspect) or one_line(row[aspect]) for aspect in question.mos}
    return Described(question.image_id, said, repeating=tuple(wrong))


class _Row(NamedTuple):
    where: str  # file and row, for messages
    row: Mapping[str, Any]


def _rows(path: Path) -> Iterator[_Row]:
    """The rows, each with its place."""
    if not path.is_file():
        raise InputError(f"{path}: no such file (teachers.file.path)")
    if path.suffix == ".jsonl":
        return _jsonl(path)
    if path.suffix == ".csv":
        return _csv(path)
    raise InputError(f"{path}: expected a name that ends with .csv or .jsonl")


def _jsonl(path: Path) -> Iterator[_Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield _Row(where, read_object(line, where))


def _csv(path: Path) -> Iterator[_Row]:
    rows = records(path)
    header = header_of(next(rows, Record(1, [])))
    for record in rows:
        yield _Row(f"{path}, row {record.number}", by_column(path, header, record))
