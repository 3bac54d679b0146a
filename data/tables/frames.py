"""The tables that stages exchange: Parquet, one row an image, sorted by image_id.

samples.parquet is the one that everything joins on; its columns are `SAMPLE_COLUMNS` and then, for
each aspect that the data set has, `mos_<aspect>` and `std_<aspect>` on one 0 to 5 scale. Where an image
was not rated on an aspect, both are NaN, and it is no sample of that aspect. What a table holds decides
its bytes: no index, no time stamp, no library metadata.
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
SAMPLE_COLUMNS = ("image_id", "path", "prompt", "generator", "comment", "sha256", "pixels")  # hashes: file, picture
ROW_GROUP = 1024  # rows that a reader must hold at once


def write_table(frame: pd.DataFrame, path: Path | str) -> None:
    """Write `frame` as Parquet, sorted by image_id, atomically; the same frame gives the same bytes."""
    frame = frame.sort_values("image_id", kind="stable")
    if not frame["image_id"].is_unique:
        raise ValueError(f"{path}: an image_id occurs twice")
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    with atomic(path) as temporary:
        pq.write_table(table, temporary, row_group_size=ROW_GROUP, compression="zstd")


def read_table(path: Path | str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The table at `path`, which must hold image_id: that and `columns`, and no others are read; None: all.

    Raises:
        InputError: no such file, not a table, or a column is missing.
    """
    wanted = None if columns is None else list(dict.fromkeys(["image_id", *columns]))
    with open_table(path, wanted or ["image_id"]) as table:
        frame: pd.DataFrame = table.read(wanted).to_pandas()
    return frame


def read_samples(path: Path | str, aspect: str, columns: Sequence[str]) -> pd.DataFrame:
    """The samples at `path` with `columns`, and MOS and std of `aspect`.

    Raises:
        InputError: what `read_table` and `require_aspect` raise.
    """
    there = column_names(path)
    require_aspect(there, aspect)
    return read_table(path, [*columns, *(name for name in (f"mos_{aspect}", f"std_{aspect}") if name in there)])


def column_names(path: Path | str) -> list[str]:
    """What the table at `path` has, without reading it. Raises what `read_table` raises."""
    with open_table(path, ["image_id"]) as table:
        names: list[str] = table.schema_arrow.names
    return names


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
        wrong = ~(mos.isna() | mos.between(lowest, highest))
        _refuse(frame, wrong, source, f"mos_{aspect} is not a number from {lowest:g} to {highest:g}")
        wrong = ~(std.isna() | (std.ge(0) & np.isfinite(std)))
        _refuse(frame, wrong, source, f"std_{aspect} is not a number of at least 0")
    unrated = frame[[f"mos_{aspect}" for aspect in aspects]].isna().all(axis=1)
    _refuse(frame, unrated, source, "no aspect has a MOS")
    return frame


def aspects_of(columns: Container[str]) -> tuple[str, ...]:
    """The aspects that a table with these columns has a MOS for; a frame or a row will do."""
    return tuple(aspect for aspect in ASPECTS if f"mos_{aspect}" in columns)


def require_aspect(columns: Container[str], aspect: str) -> None:
    """Refuse an aspect that a data set with these columns has no MOS for; a frame will do."""
    if aspect not in ASPECTS:
        raise InputError(f"unknown aspect {aspect!r}, expected one of {', '.join(ASPECTS)}")
    if aspect not in aspects_of(columns):
        raise InputError(f"this data set has no aspect {aspect!r}, only {', '.join(aspects_of(columns)) or 'none'}")


def joined(samples: pd.DataFrame, splits: pd.DataFrame, aspect: str | None = None) -> pd.DataFrame:
    """The samples with their `split`. Both tables tell of the same images.

    With an `aspect` they are its samples: those that have a MOS of it, with the split that is its own where it has one.

    Raises:
        InputError: the tables differ, a split is unknown, or nothing in a part of the split has a MOS of the aspect.
    """
    odd = set(samples["image_id"]) ^ set(splits["image_id"])
    if odd:
        raise InputError(f"samples and splits differ in {len(odd)} images, such as {min(odd)!r}; run split again")
    chosen = splits[["image_id", split_column(splits, aspect)]].set_axis(["image_id", "split"], axis=1)
    unknown = set(chosen["split"]) - set(SPLITS)
    if unknown:
        raise InputError(f"unknown split {min(map(str, unknown))!r}, expected one of {', '.join(SPLITS)}")
    both = samples.merge(chosen, on="image_id", how="left", validate="one_to_one")
    return both if aspect is None else _rated(both, aspect)


def _rated(samples: pd.DataFrame, aspect: str) -> pd.DataFrame:
    """Those that have a MOS of `aspect`."""
    require_aspect(samples, aspect)
    rated = samples[samples[f"mos_{aspect}"].notna()]
    if bare := set(samples["split"]) - set(rated["split"]):
        raise InputError(f"no image of {min(bare)} has a MOS of {aspect}; rate more images, or split them otherwise")
    return rated.reset_index(drop=True)


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
