"""The hidden states and the MOS that `dvc repro` left, for the benchmarks that learn from them."""

import argparse
from typing import NamedTuple

import pandas as pd

from data.feature_store.store import FeatureStore
from data.tables.frames import joined, read_table
from pipeline import paths
from pipeline.settings import Settings, load


def parts_to_score(description: str) -> list[str]:
    """Val, by which one may choose, and with `--test` on the command line the test images, by which one may not."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--test", action="store_true", help="score the test images too")
    return ["val", "test"] if parser.parse_args().test else ["val"]


class CachedStates(NamedTuple):
    """What `dvc repro` left."""

    settings: Settings
    table: pd.DataFrame  # a row an image with image_id, split, prompt and `mos` of the aspect
    store: FeatureStore  # the images' states


def cached_states() -> CachedStates:
    settings = load()
    dataset, aspect = settings.dataset, settings.aspect
    table = joined(read_table(paths.samples(dataset)), read_table(paths.splits(dataset)), aspect)
    table = table.rename(columns={f"mos_{aspect}": "mos"})
    return CachedStates(settings, table, FeatureStore.open(paths.features(dataset, aspect)))
