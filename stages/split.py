"""split: train, val and test by the chosen protocol.

Also the last place before something is paid for the images: prompts that the MLLM cannot read are refused here.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from data.splitting.prompts import pictures_seen
from data.splitting.protocols import split
from data.splitting.settings import Split
from data.tables.frames import aspects_of, column_names, read_table, write_table
from finetune.prompts import Asked, check_prompts
from m3agiqa.files import read_json
from pipeline import paths
from pipeline.settings import Settings
from pipeline.stage import stage


def main(settings: Settings) -> None:
    raw = paths.raw(settings.dataset)
    samples = read_table(raw / "samples.parquet", ["path", "prompt", "pixels"])
    asked = (Asked(raw / path, prompt) for path, prompt in zip(samples["path"], samples["prompt"], strict=True))
    rated = aspects_of(column_names(raw / "samples.parquet"))
    described = [settings.describe.aspects] if settings.describe.aspects else [[aspect] for aspect in rated]
    check_prompts(asked, described, settings.mllms[settings.mllm])
    parts = split_samples(settings.dataset, settings.split, raw)
    write_table(parts, paths.splits(settings.dataset))
    untested = _untested(raw) if settings.split.protocol == "published" and not settings.split.on else ()
    for said in (*untested, *_shared(samples[["image_id", "pixels"]], parts)):
        print(f"split: {said}", file=sys.stderr)


def split_samples(dataset: str, settings: Split, raw: Path) -> pd.DataFrame:
    """The split of the data set that lies at `raw`; its authors' own, where it brings one along and it is asked for."""
    path = raw / "samples.parquet"
    rated = [f"mos_{aspect}" for aspect in aspects_of(column_names(path))]
    samples = read_table(path, ["path", "prompt", "generator", "pixels", *rated])
    if settings.on is not None:
        samples = samples.merge(read_table(paths.sets(raw), ["set"]), on="image_id")
    own = paths.published_split(raw)
    return split(samples, dataset, settings, read_table(own, ["split"]) if own.exists() else None)


def _untested(raw: Path) -> Iterator[str]:
    """Of a joined data set: what is in it that has no published split."""
    about = raw / "about.json"
    for name in read_json(about).get("without_published_split", ()) if about.exists() else ():
        yield f"{name} has no published split: all its images are for training"


def _shared(samples: pd.DataFrame, parts: pd.DataFrame) -> Iterator[str]:
    """For each list of test images that others made: how many of them are pictures that train has, too."""
    for column in parts.columns.drop("image_id"):
        table = samples.merge(parts[["image_id", column]].set_axis(["image_id", "split"], axis=1), on="image_id")
        if seen := pictures_seen(table):
            tested = int((table["split"] == "test").sum())
            yield f"{seen} of {tested} test images ({column}) show a picture that is in train, too"


if __name__ == "__main__":
    stage(main)
