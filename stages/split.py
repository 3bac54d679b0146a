"""split: train, val and test by the chosen protocol."""

from pathlib import Path

import pandas as pd

from data.splitting.protocols import split
from data.splitting.settings import Split
from data.tables.frames import read_table, write_table
from pipeline import paths
from pipeline.settings import Settings
from pipeline.stage import stage


def main(settings: Settings) -> None:
    parts = split_samples(settings.dataset, settings.split, paths.raw(settings.dataset))
    write_table(parts, paths.splits(settings.dataset))


def split_samples(dataset: str, settings: Split, raw: Path) -> pd.DataFrame:
    """The split of the data set that lies at `raw`; its authors' own, where it brings one along and it is asked for."""
    samples = read_table(raw / "samples.parquet", ["path", "prompt", "generator"])
    own = paths.published_split(raw)
    return split(samples, dataset, settings, read_table(own, ["split"]) if own.exists() else None)


if __name__ == "__main__":
    stage(main)
