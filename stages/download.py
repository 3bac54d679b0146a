"""download: bring the data set, verify every image, put the labels on one 0-5 scale."""

import shutil
from pathlib import Path

from data.tables import check_samples, write_table
from stages import paths
from stages.progress import progress
from stages.run import stage
from stages.settings import Settings, Synthetic


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
        from data.folder import read_folder  # noqa: PLC0415

        samples = read_folder(profile.source, out, scale=profile.scale, progress=progress)
    write_table(check_samples(samples, dataset), out / "samples.parquet")


if __name__ == "__main__":
    stage(main)
