"""What every reader gives for an image, `Rated`, and the rows of its label files (m3agiqa/csv_rows.py), checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from m3agiqa.csv_rows import Record, by_column, header_of, records, repeated_column
from m3agiqa.errors import InputError

Row = dict[str, str]


@dataclass(frozen=True)
class Rated:
    """An image and what people said of it, as its data set's label files have it."""

    where: str  # file and row, for messages
    name: str  # what its file is called here; unique in the data set
    file: str  # the file that is meant, as the end of its path: "a.png", "images/a.png"
    prompt: str
    generator: str = ""
    comment: str = ""
    mos: Mapping[str, str | float] = field(default_factory=dict)  # aspect -> on its own scale; blank: not rated
    std: Mapping[str, str | float] = field(default_factory=dict)  # likewise; "" or NaN where it is not known
    part: str = ""  # of the authors' own split: train, val, test
    left_out: str = ""  # why no one can learn from it, such as "no MOS (val)": it is counted, and not taken


class LabelRow(NamedTuple):
    """One row of a label file."""

    where: str  # "data.csv, row 7"
    row: Row


def read_rows(
    table: Path,
    required: Sequence[str],
    *,
    one_of: Sequence[str] = (),
    unique: str = "name",
    also: Mapping[str, str] = MappingProxyType({}),
) -> list[LabelRow]:
    """The rows of a csv by column, each with its place.

    `also` gives other names that a column may have: {"image": "name"} takes `image` where there is no `name`.

    Raises:
        InputError: no csv, a column of `required` or every one of `one_of` missing, a row of another length, an empty
            or repeated value in the column `unique`, no rows at all.
    """
    numbered = records(table)
    first = next(numbered, Record(1, []))
    header = header_of(first)
    if not header:
        raise InputError(f"{table}: the file is empty, expected a header with {', '.join(required)}")
    header = [also[column] if column in also and also[column] not in header else column for column in header]
    _check_header(f"{table}, row {first.number}", header, required, one_of)
    rows: list[LabelRow] = []
    first_row: dict[str, int] = {}
    for record in numbered:
        where, row = f"{table}, row {record.number}", by_column(table, header, record)
        if not row[unique].strip():
            raise InputError(f"{where}: {unique} is empty")
        if (earlier := first_row.setdefault(row[unique], record.number)) != record.number:
            raise InputError(f"{where}: {unique} {row[unique]!r} occurs in row {earlier} already")
        rows.append(LabelRow(where, row))
    if not rows:
        raise InputError(f"{table}: a header and no rows, expected a row for each image")
    return rows


def _check_header(where: str, header: list[str], required: Sequence[str], one_of: Sequence[str]) -> None:
    for column in required:
        if column not in header:
            raise InputError(f"{where}: missing column {column!r}; it has {', '.join(map(repr, filter(None, header)))}")
    if one_of and not set(one_of) & set(header):
        raise InputError(f"{where}: no MOS column, expected at least one of {', '.join(one_of)}")
    if twice := repeated_column(header):
        raise InputError(f"{where}: column {twice!r} occurs twice")
