"""Tables that people have, row by row: CSV, JSON lines, Parquet and Arrow, told apart by how the file's name ends.

A folder is one, too, where Hugging Face's `datasets` has saved a data set there (`save_to_disk`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from m3agiqa.csv_rows import Record, by_column, header_of, records, repeated_column
from m3agiqa.errors import InputError
from m3agiqa.given import brief
from m3agiqa.json_text import read_object
from m3agiqa.tar_members import SUFFIXES as TARS

ROWS_AT_ONCE = 1_000
BYTES_AT_ONCE = 16 << 20  # of rows with pictures in them, there are fewer at once
ARROW, END = b"ARROW1", b"\xff\xff\xff\xff\0\0\0\0"  # how its file form begins, how its stream ends
STATE, SPLITS = "state.json", "dataset_dict.json"  # what `datasets` writes: of a data set, of several splits


class TableRow(NamedTuple):
    """A row by the names of its columns, and where it stands, as people count: a spreadsheet's row, a line."""

    where: str
    values: dict[str, Any]


def table_rows(table: Path, *needed: Sequence[str]) -> Iterator[TableRow]:
    """The rows of `table`, each of which has a column of every name in `needed`, or of one of several names there.

    Raises:
        InputError: naming the file, the row and what was expected.
    """
    if table.is_dir():
        return _saved(table, needed)
    if not table.is_file():
        raise InputError(f"{table}: no such file")
    if table.suffix.lower() == ".json":
        raise InputError(f"{table}: expected JSON lines, an object a line, in a file that ends in .jsonl")
    if table.name.lower().endswith(TARS):
        raise InputError(f"{table}: a tar is no table; --tar reads it")
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
            values = read_object(line, where)
            _check(where, list(values), needed)
            yield TableRow(where, values)


def _parquet(table: Path, needed: Sequence[Sequence[str]]) -> Iterator[TableRow]:
    """Not read ahead, which would keep every row group: of pictures, one in memory is enough."""
    arrow = pyarrow(str(table))
    with (
        _read_errors_told(table, "Parquet", arrow),
        arrow.parquet.ParquetFile(table, buffer_size=BYTES_AT_ONCE, pre_buffer=False) as file,
    ):
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        at_once = min((_at_once(group.num_rows, group.total_byte_size) for group in groups), default=1)
        yield from _rows(table, needed, file.schema_arrow, file.iter_batches(at_once))


def _arrow(table: Path, needed: Sequence[Sequence[str]]) -> Iterator[TableRow]:
    """Arrow's own format, in either form: the stream that `datasets` writes, or the file, also known as Feather."""
    arrow = pyarrow(str(table))
    with _read_errors_told(table, "Arrow", arrow), arrow.memory_map(str(table)) as file:
        is_file = file.read(len(ARROW)) == ARROW
        file.seek(max(0, file.size() - len(END)))
        if not is_file and file.read() != END:  # Arrow would take what is there for all
            raise ValueError("cut off: its end is missing")
        file.seek(0)
        reader = arrow.ipc.open_file(file) if is_file else arrow.ipc.open_stream(file)
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
        yield from _rows(table, needed, reader.schema, _pieces(batches))


def _saved(folder: Path, needed: Sequence[Sequence[str]]) -> Iterator[TableRow]:
    """The files of a folder that `datasets` has saved, in order."""
    if (folder / SPLITS).is_file():
        splits = _names(folder / SPLITS, lambda said: said["splits"])
        raise InputError(f"{folder}: has the splits {', '.join(splits)}; take one, such as {folder / splits[0]}")
    if not (folder / STATE).is_file():
        what = f"a table, or a folder that `datasets` has saved ({STATE} is missing)"
        raise InputError(f"{folder}: expected {what}; --folder takes images")
    for name in _names(folder / STATE, lambda said: [file["filename"] for file in said["_data_files"]]):
        yield from _arrow(folder / name, needed)


def _names(path: Path, find: Callable[[Any], list[str]]) -> list[str]:
    """The names that a file of `datasets` has, of things in its folder; there are some."""
    try:
        names = find(read_object(path.read_bytes(), str(path)))
        plain = bool(names) and all(Path(name).name == name != ".." for name in names)
    except (InputError, LookupError, TypeError):
        plain = False
    if not plain:
        raise InputError(f"{path}: not as `datasets` writes it")
    return names


def _rows(table: Path, needed: Sequence[Sequence[str]], schema: Any, batches: Iterable[Any]) -> Iterator[TableRow]:
    _refuse_repeated(str(table), schema.names)
    _check(str(table), schema.names, needed)
    rows = (values for batch in batches for values in batch.to_pylist())
    return (TableRow(f"{table}, row {number}", values) for number, values in enumerate(rows, start=1))


def _pieces(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        batch.validate(full=True)  # Arrow believes what a file says of where its values lie
        at_once = _at_once(batch.num_rows, batch.nbytes)
        yield from (batch.slice(start, at_once) for start in range(0, batch.num_rows, at_once))


def _at_once(rows: int, size: int) -> int:
    """How many of the rows, which take `size` bytes, are to be in memory."""
    return max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE * rows // max(size, 1)))


@contextmanager
def _read_errors_told(table: Path, what: str, arrow: Any) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, OverflowError, LookupError, arrow.ArrowException) as error:  # a date beyond 9999, …
        raise InputError(f"{table}: not readable as {what} ({' '.join(str(error).split())})") from None


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
    ".arrow": _arrow,
}
