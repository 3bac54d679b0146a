"""The tables that stages exchange: Parquet, one row an image, sorted by image_id.

samples.parquet is the one that everything joins on; its columns are `SAMPLE_COLUMNS` and then, for
each aspect that the data set has, `mos_<aspect>` and `std_<aspect>` on one 0 to 5 scale. What a table
holds decides its bytes: no index, no time stamp, no library metadata.
"""

from collections.abc import Collection, Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from m3agiqa.aspects import ASPECTS, MOS_RANGE
from m3agiqa.errors import InputError
from m3agiqa.files import atomic

SPLITS = ("train", "val", "test")
SAMPLE_COLUMNS = ("image_id", "path", "prompt", "generator", "comment", "sha256")
ROW_GROUP = 1024  # rows that a reader must hold at once


def write_table(frame: pd.DataFrame, path: Path | str) -> None:
    """Write `frame` as Parquet, sorted by image_id, atomically; the same frame gives the same bytes."""
    frame = frame.sort_values("image_id", kind="stable")
    if not frame["image_id"].is_unique:
        raise ValueError(f"{path}: an image_id occurs twice")
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    with atomic(path) as temporary:
        pq.write_table(table, temporary, row_group_size=ROW_GROUP, compression="zstd")


def read_table(path: Path | str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """The table at `path`, which must hold image_id and `columns`.

    Raises:
        InputError: no such file, not a table, or a column is missing.
    """
    with open_table(path, ("image_id", *columns)) as table:
        frame: pd.DataFrame = table.read().to_pandas()
    return frame


@contextmanager
def open_table(path: Path | str, columns: Sequence[str]) -> Iterator[pq.ParquetFile]:
    """The Parquet file at `path`, which must hold `columns`. Raises what `read_table` raises."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such table; run the stage that writes it")
    try:
        with pq.ParquetFile(path) as table:
            _require_columns(table.schema_arrow.names, columns, path)
            yield table
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({' '.join(str(error).split())})") from None


def check_samples(frame: pd.DataFrame, source: Path | str) -> pd.DataFrame:
    """The samples in their canonical form: these columns in this order, sorted by image_id.

    Raises:
        InputError: naming `source`, the image and what was expected.
    """
    _require_columns(frame.columns, SAMPLE_COLUMNS, source)
    aspects = aspects_of(frame)
    if not aspects:
        raise InputError(f"{source}: no MOS column, expected mos_<aspect> with one of {', '.join(ASPECTS)}")
    if frame.empty:
        raise InputError(f"{source}: no images")
    labels = [f"{kind}_{aspect}" for aspect in aspects for kind in ("mos", "std")]
    _require_columns(frame.columns, labels, source)
    frame = frame[[*SAMPLE_COLUMNS, *labels]].astype(dict.fromkeys(labels, "float64"))
    frame = frame.sort_values("image_id", kind="stable", ignore_index=True)

    lowest, highest = MOS_RANGE
    for column in SAMPLE_COLUMNS:
        is_text = frame[column].map(lambda value: isinstance(value, str))
        _refuse(frame, ~is_text, source, f"{column} is not text")
    _refuse(frame, frame["image_id"].eq(""), source, "image_id is empty")
    _refuse(frame, frame["image_id"].duplicated(), source, "image_id occurs twice")
    for aspect in aspects:
        mos, std = frame[f"mos_{aspect}"], frame[f"std_{aspect}"]
        wrong = ~mos.between(lowest, highest)  # NaN too
        _refuse(frame, wrong, source, f"mos_{aspect} is not a number from {lowest:g} to {highest:g}")
        wrong = ~(std.isna() | (std.ge(0) & np.isfinite(std)))
        _refuse(frame, wrong, source, f"std_{aspect} is not a number of at least 0")
    return frame


def aspects_of(columns: Container[str]) -> tuple[str, ...]:
    """The aspects that a table with these columns has a MOS for; a frame or a row will do."""
    return tuple(aspect for aspect in ASPECTS if f"mos_{aspect}" in columns)


def require_aspect(frame: pd.DataFrame, aspect: str) -> None:
    """Refuse an aspect that the data set has no MOS for."""
    if aspect not in ASPECTS:
        raise InputError(f"unknown aspect {aspect!r}, expected one of {', '.join(ASPECTS)}")
    if aspect not in aspects_of(frame):
        raise InputError(f"this data set has no aspect {aspect!r}, only {', '.join(aspects_of(frame)) or 'none'}")


def joined(samples: pd.DataFrame, splits: pd.DataFrame, aspect: str | None = None) -> pd.DataFrame:
    """The samples with their `split`, that of `aspect` where it has one of its own. Both tell of the same images."""
    odd = set(samples["image_id"]) ^ set(splits["image_id"])
    if odd:
        raise InputError(f"samples and splits differ in {len(odd)} images, such as {min(odd)!r}; run split again")
    chosen = splits[["image_id", split_column(splits, aspect)]].set_axis(["image_id", "split"], axis=1)
    unknown = set(chosen["split"]) - set(SPLITS)
    if unknown:
        raise InputError(f"unknown split {min(map(str, unknown))!r}, expected one of {', '.join(SPLITS)}")
    return samples.merge(chosen, on="image_id", how="left", validate="one_to_one")


def split_column(splits: pd.DataFrame, aspect: str | None) -> str:
    """Which column of the splits holds for `aspect`: published test lists may differ between aspects."""
    return own if (own := f"split_{aspect}") in splits.columns else "split"


def _require_columns(there: Collection[str], columns: Sequence[str], source: Path | str) -> None:
    missing = [column for column in columns if column not in there]
    if missing:
        raise InputError(f"{source}: missing column {', '.join(missing)}; it has {', '.join(map(str, there))}")


def _refuse(frame: pd.DataFrame, wrong: pd.Series, source: Path | str, complaint: str) -> None:
    if wrong.any():
        example = frame.loc[wrong, "image_id"].iloc[0]
        raise InputError(f"{source}: {complaint} for image {example!r} ({int(wrong.sum())} in all)")
