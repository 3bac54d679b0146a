"""Csv files from people, read strictly, row by row.

UTF-8, with or without a byte order mark; fields in quotes may hold commas, quotes and newlines. Rows are numbered as a
spreadsheet shows them: the header is row 1, and a prompt that spans lines is still one row.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from m3agiqa.errors import InputError

IMAGE = ("image", "name")  # what the column with the image's file may be called


class Record(NamedTuple):
    """One row."""

    number: int
    fields: list[str]


def records(table: Path) -> Iterator[Record]:
    """Numbered csv records, those that hold something. Empty ones (`,,`) count as rows, as in a spreadsheet.

    Raises:
        InputError: no such file, not UTF-8, or not csv; the message names the row.
    """
    if not table.is_file():
        raise InputError(f"{table}: no such file")
    content = table.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", errors="replace")
        row = sum(1 for _ in csv.reader(io.StringIO(before + ".", newline="")))
        raise InputError(f"{table}, row {row}: not UTF-8; save it as 'CSV UTF-8'") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 0
    try:
        for number, fields in enumerate(reader, start=1):
            if any(map(str.strip, fields)):
                yield Record(number, fields)
    except csv.Error as error:
        raise InputError(f"{table}, row {number + 1}: not valid csv ({error})") from None


def header_of(record: Record) -> list[str]:
    """The names of the columns; "" where one has none."""
    return [column.strip() for column in record.fields]


def by_column(table: Path, header: list[str], record: Record) -> dict[str, str]:
    """A row's fields by the names of `header`. What has no name is ignored, and so is nothing beyond the last column.

    Raises:
        InputError: the row is shorter or longer than that.
    """
    fields, named = record.fields, max((at for at, column in enumerate(header, start=1) if column), default=0)
    if len(fields) < named or any(map(str.strip, fields[len(header) :])):
        raise InputError(f"{table}, row {record.number}: {len(fields)} fields, expected {len(header)} as in the header")
    return {column: field for column, field in zip(header, fields, strict=False) if column}


def repeated_column(header: list[str]) -> str | None:
    """A name that two columns have, if any do."""
    return next((column for column, count in Counter(filter(None, header)).items() if count > 1), None)


def image_column(header: list[str]) -> str:
    """What this header calls the image's file; the first of IMAGE where it has neither."""
    return next((name for name in IMAGE if name in header), IMAGE[0])
