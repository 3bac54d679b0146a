"""The hidden states and the MOS that `dvc repro` left, for the benchmarks that learn from them."""

import argparse
from typing import NamedTuple

import pandas as pd

from data.feature_store.store import FeatureStore
from data.tables.frames import joined, read_table
from pipeline import paths
from pipeline.settings import Settings, load


def arguments(description: str) -> argparse.ArgumentParser:
    """`parts`: val, by which one may choose, and with `--test` the test images as well, by which one may not."""
    parser = argparse.ArgumentParser(description=description)
    both, how = ["val", "test"], "score the test images too"
    parser.add_argument("--test", dest="parts", action="store_const", const=both, default=both[:1], help=how)
    return parser


class CachedStates(NamedTuple):
    """What `dvc repro` left."""

    settings: Settings
    table: pd.DataFrame  # a row an image with image_id, split, prompt and `mos` of the aspect
    store: FeatureStore  # the images' states


def cached_states() -> CachedStates:
    settings = load()
    dataset, aspect = settings.dataset, settings.aspect
    table = table_of(settings, read_table(paths.splits(dataset)))
    return CachedStates(settings, table, FeatureStore.open(paths.features(dataset, aspect)))


def table_of(settings: Settings, split: pd.DataFrame) -> pd.DataFrame:
    """The table of CachedStates, with the parts of `split`."""
    table = joined(read_table(paths.samples(settings.dataset)), split, settings.aspect)
    return table.rename(columns={f"mos_{settings.aspect}": "mos"})
