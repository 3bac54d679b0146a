"""Tables that people have, row by row: CSV, JSON lines and Parquet, told apart by how the file's name ends."""

import json
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from m3agiqa.csv_rows import Record, by_column, header_of, records, repeated_column
from m3agiqa.errors import InputError
from m3agiqa.given import brief

ROWS_AT_ONCE = 1_000


class TableRow(NamedTuple):
    """A row by the names of its columns, and where it stands, as people count: a spreadsheet's row, a line."""

    where: str
    values: dict[str, Any]


def table_rows(table: Path, *needed: Sequence[str]) -> Iterator[TableRow]:
    """The rows of `table`, each of which has a column of every name in `needed`, or of one of several names there.

    Raises:
        InputError: naming the file, the row and what was expected.
    """
    if not table.is_file():
        raise InputError(f"{table}: no such file")
    if table.suffix.lower() == ".json":
        raise InputError(f"{table}: expected JSON lines, an object a line, in a file that ends in .jsonl")
    reader = READERS.get(table.suffix.lower(), _csv)
    return reader(table, needed)


def pyarrow(what: str) -> Any:
    """The package, an extra, with its module parquet.

    Raises:
        InputError: it is not installed; `what` needs it.
    """
    try:
        return import_module("pyarrow.parquet") and import_module("pyarrow")
    except ImportError:
        raise InputError(
            f"{what}: Parquet needs pyarrow, which is not installed: pip install 'm3agiqa[parquet]'"
        ) from None


def _csv(table: Path, needed: Sequence[Sequence[str]]) -> Iterator[TableRow]:
    rows = records(table)
    first = next(rows, Record(1, []))
    header = header_of(first)
    _refuse_repeated(f"{table}, row {first.number}", header)
    _check(f"{table}, row {first.number}", header, needed)
    for record in rows:
        yield TableRow(f"{table}, row {record.number}", by_column(table, header, record))


def _json_lines(table: Path, needed: Sequence[Sequence[str]]) -> Iterator[TableRow]:
    with table.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{table}, line {number}"
            if not line.strip():
                continue
            try:
                values = json.loads(line, object_pairs_hook=_object)
            except (ValueError, RecursionError) as error:  # not UTF-8 is a ValueError, too
                raise InputError(f"{where}: not JSON ({error})") from None
            if not isinstance(values, dict):
                raise InputError(f"{where}: expected an object in braces, with the columns by their names")
            _check(where, list(values), needed)
            yield TableRow(where, values)


def _parquet(table: Path, needed: Sequence[Sequence[str]]) -> Iterator[TableRow]:
    arrow = pyarrow(str(table))
    try:
        with arrow.parquet.ParquetFile(table) as file:
            names = file.schema_arrow.names
            _refuse_repeated(str(table), names)
            _check(str(table), names, needed)
            rows = (values for batch in file.iter_batches(ROWS_AT_ONCE) for values in batch.to_pylist())
            yield from (TableRow(f"{table}, row {number}", values) for number, values in enumerate(rows, start=1))
    except InputError:
        raise
    except (OSError, ValueError, OverflowError, LookupError, arrow.ArrowException) as error:  # a date beyond 9999, …
        raise InputError(f"{table}: not readable as Parquet ({' '.join(str(error).split())})") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names are each there once."""
    if repeated := repeated_column([name for name, _ in pairs]):
        raise ValueError(f"{repeated!r} is there twice")
    return dict(pairs)


def _refuse_repeated(where: str, columns: list[str]) -> None:
    if repeated := repeated_column(columns):
        raise InputError(f"{where}: two columns are called {brief(repr(repeated))}")


def _check(where: str, columns: Sequence[str], needed: Sequence[Sequence[str]]) -> None:
    for names in needed:
        if not set(names) & set(columns):
            has = brief(", ".join("".join(filter(str.isprintable, column)) for column in columns)) or "none"
            raise InputError(f"{where}: expected a column {' or '.join(names)}; it has {has}")


READERS: dict[str, Callable[[Path, Sequence[Sequence[str]]], Iterator[TableRow]]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
