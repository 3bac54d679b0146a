"""split: train, val and test by the chosen protocol."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from data.splitting.prompts import pictures_seen
from data.splitting.protocols import split
from data.splitting.settings import Split
from data.tables.frames import aspects_of, open_table, read_table, write_table
from pipeline import paths
from pipeline.settings import Settings
from pipeline.stage import stage


def main(settings: Settings) -> None:
    raw = paths.raw(settings.dataset)
    parts = split_samples(settings.dataset, settings.split, raw)
    write_table(parts, paths.splits(settings.dataset))
    for said in _shared(read_table(raw / "samples.parquet", ["pixels"]), parts):
        print(f"split: {said}", file=sys.stderr)


def split_samples(dataset: str, settings: Split, raw: Path) -> pd.DataFrame:
    """The split of the data set that lies at `raw`; its authors' own, where it brings one along and it is asked for."""
    path = raw / "samples.parquet"
    with open_table(path, ["image_id"]) as table:
        rated = [f"mos_{aspect}" for aspect in aspects_of(table.schema_arrow.names)]
    samples = read_table(path, ["path", "prompt", "generator", "pixels", *rated])
    own = paths.published_split(raw)
    return split(samples, dataset, settings, read_table(own, ["split"]) if own.exists() else None)


def _shared(samples: pd.DataFrame, parts: pd.DataFrame) -> Iterator[str]:
    """For each list of test images that others made: how many of them are pictures that train has, too."""
    for column in parts.columns.drop("image_id"):
        table = samples.merge(parts[["image_id", column]].set_axis(["image_id", "split"], axis=1), on="image_id")
        if seen := pictures_seen(table):
            tested = int((table["split"] == "test").sum())
            yield f"{seen} of {tested} test images ({column}) show a picture that is in train, too"


if __name__ == "__main__":
    stage(main)
