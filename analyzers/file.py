"""Teacher `file`: explanations written by hand or by another service, one row an image.

A .csv with the columns `name` (the image's file name) and one for each aspect, or a .jsonl with the same keys; other
columns are ignored. UTF-8. Rows of csv are numbered as a spreadsheet shows them: the header is row 1.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from analyzers.captions import Described
from analyzers.explanations import REPEATS, check, one_line
from analyzers.teacher import Question
from m3agiqa.errors import InputError


def read_explanations(path: Path, questions: Iterable[Question], others: Iterable[str]) -> dict[str, Described]:
    """What `path` says, by image_id; `others` are file names of the data set that need no explanation.

    One that repeats the score is kept, as the last answer of any other teacher is.

    Raises:
        InputError: naming the row: an unknown or repeated name, an explanation that check() refuses for more than that.
    """
    by_name = {question.path.name: question for question in questions}
    known = {*by_name, *others}
    found: dict[str, Described] = {}
    first: dict[str, str] = {}
    for where, row in _rows(path):
        name = row.get("name")
        if name not in known:
            raise InputError(f"{where}: name is {name!r}, which is no image of this data set")
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
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file (teachers.file.path)") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8") from None
    if path.suffix == ".jsonl":
        return _jsonl(path, text)
    if path.suffix == ".csv":
        return _csv(path, text)
    raise InputError(f"{path}: expected a name that ends with .csv or .jsonl")


def _jsonl(path: Path, text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{where}: not JSON ({error})") from None
            if not isinstance(row, dict):
                raise InputError(f"{where}: expected an object with a name and the aspects")
            yield _Row(where, row)


def _csv(path: Path, text: str) -> Iterator[_Row]:
    number = 1
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = [column.strip() for column in next(reader, [])]
        for number, fields in enumerate(reader, start=2):
            where = f"{path}, row {number}"
            if len(fields) not in (0, len(header)):
                raise InputError(f"{where}: {len(fields)} fields, expected {len(header)} as in the header")
            if fields:
                yield _Row(where, dict(zip(header, fields, strict=True)))
    except csv.Error as error:
        raise InputError(f"{path}, row {number + 1}: not valid csv ({error})") from None
