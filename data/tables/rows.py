"""Tables row by row, both ways, for stages whose memory does not grow with the number of images."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.tables.frames import ROW_GROUP, SPLITS, open_table
from m3agiqa.errors import InputError
from m3agiqa.files import atomic

Row = dict[str, Any]
ARROW = {str: pa.large_string(), bool: pa.bool_()}  # as write_table stores them


def joined_rows(samples: Path | str, splits: Path | str) -> Iterator[Row]:
    """The samples with their `split`, sorted by image_id: `joined` for tables of any length.

    Raises:
        InputError: a table cannot be read, the two tell of different images, or a split is unknown.
    """
    nothing: Row = {}
    pairs = zip_longest(_rows(samples, "image_id"), _rows(splits, "image_id", "split"), fillvalue=nothing)
    for sample, part in pairs:
        ids = {sample.get("image_id"), part.get("image_id")}
        if len(ids) > 1:
            odd = min(image_id for image_id in ids if image_id is not None)
            raise InputError(f"samples and splits differ in image {odd!r}; run split again")
        if part["split"] not in SPLITS:
            raise InputError(f"unknown split {part['split']!r}, expected one of {', '.join(SPLITS)}")
        yield sample | part


@contextmanager
def row_writer(path: Path | str, columns: Mapping[str, type]) -> Iterator[Callable[[Row], None]]:
    """Yield a function that adds a row; the table takes its name when all went well.

    Rows come sorted by image_id. The same rows give the same bytes, those of `write_table`.
    """
    schema = pa.schema([(name, ARROW[kind]) for name, kind in columns.items()])
    pending: list[Row] = []
    last = ""

    with atomic(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist(pending, schema))
            pending.clear()

        def write(row: Row) -> None:
            nonlocal last
            if row["image_id"] <= last:
                raise ValueError(f"{path}: image_id {row['image_id']!r} after {last!r}")
            last = row["image_id"]
            pending.append(row)
            if len(pending) == ROW_GROUP:
                flush()

        yield write
        if pending:
            flush()


def _rows(path: Path | str, *columns: str) -> Iterator[Row]:
    with open_table(path, columns) as table:
        for batch in table.iter_batches(batch_size=ROW_GROUP):
            yield from batch.to_pylist()
