"""download: bring the data set, verify every image, put the labels on one 0-5 scale."""

import shutil
import sys
from pathlib import Path

import pandas as pd

from data.tables import check_samples, write_table
from stages import paths
from stages.progress import byte_bar, progress
from stages.run import Scratch, stage
from stages.settings import Labelled, Settings, Synthetic


def main(settings: Settings) -> None:
    bring(settings, settings.dataset, paths.raw(settings.dataset))


def bring(settings: Settings, dataset: str, out: Path) -> None:
    """Fill `out` with a data set of the settings: images/, samples.parquet, and what else its reader knows."""
    profile = settings.datasets[dataset]
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if isinstance(profile, Synthetic):
        from data import synthetic  # noqa: PLC0415 (renders with torch, which a folder does not need)

        samples = synthetic.build(
            out, seed=profile.seed, prompts=profile.prompts, size=profile.size, raters=profile.raters, progress=progress
        )
    else:
        samples = _labelled(profile, dataset, out)
    write_table(check_samples(samples, dataset), out / "samples.parquet")


def _labelled(profile: Labelled, dataset: str, out: Path) -> pd.DataFrame:
    """Images that people rated. What was downloaded is kept in `.cache/`, for a run with other settings or code."""
    from data.ingest import ingest  # noqa: PLC0415 (these two need what `synthetic` does not)
    from data.sources import address, fetch  # noqa: PLC0415

    inputs = [address(source) for source in profile.source]
    with Scratch(f"download/{dataset}", inputs, code=[]) as scratch:
        roots = fetch(profile.source, scratch.path, bar=byte_bar)
        samples, left_out = ingest(profile.reader, roots, out, scale=profile.scale, progress=progress)
        shutil.rmtree(scratch.path / "unpacked", ignore_errors=True)
    for why, count in left_out.items():
        print(f"download: {count:,} images left out: {why}", file=sys.stderr)
    return samples


if __name__ == "__main__":
    stage(main)
