"""download: bring the data set, verify every image, put the labels on one 0-5 scale."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from data.tables.frames import check_samples, write_table
from m3agiqa.aspects import Scale
from m3agiqa.files import read_json
from m3agiqa.progress import byte_bar, progress
from pipeline import paths
from pipeline.data_sets import Dataset, Joined, Labelled, Single, Synthetic
from pipeline.settings import Settings
from pipeline.stage import stage
from pipeline.unfinished import kept


def main(settings: Settings) -> None:
    name = settings.dataset
    bring(name, settings.datasets[name], paths.raw(name), settings.members_of(name))


def bring(dataset: str, profile: Dataset, out: Path, members: Mapping[str, Single] = MappingProxyType({})) -> None:
    """Fill `out` with a data set: images/, samples.parquet, and what else its reader knows.

    `members` are the data sets that a joined one is made of.
    """
    _fill(dataset, profile, out, members)
    about = out / "about.json"  # what is rendered has none
    for said in _to_be_known(read_json(about)) if about.exists() else ():
        print(f"download: {said}", file=sys.stderr)


def _fill(dataset: str, profile: Dataset, out: Path, members: Mapping[str, Single]) -> None:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if isinstance(profile, Synthetic):
        from data import synthetic  # noqa: PLC0415 (renders with torch, which a folder does not need)

        shape = profile.model_dump(exclude={"reader"})
        samples = synthetic.build(out, **shape, progress=progress)
    elif isinstance(profile, Joined):
        samples = _joined(members, out)
    else:
        samples = _labelled(profile, dataset, out)
    write_table(check_samples(samples, dataset), out / "samples.parquet")


def _joined(members: Mapping[str, Single], out: Path) -> pd.DataFrame:
    """Each data set comes as it does alone, and what was downloaded is shared with it."""
    from data.ingest.joined import join  # noqa: PLC0415

    folders = {name: out / "members" / name for name in members}
    for name, profile in members.items():
        _fill(name, profile, folders[name], {})
    samples, _ = join(folders, out)
    shutil.rmtree(out / "members")
    return samples


def _labelled(profile: Labelled, dataset: str, out: Path) -> pd.DataFrame:
    """Images that people rated. What was downloaded is kept in `.cache/`, for a run with other settings or code."""
    from data.download.sources import address, fetch  # noqa: PLC0415 (these two need what `synthetic` does not)
    from data.ingest.samples import ingest  # noqa: PLC0415

    with kept(f"download/{dataset}", [address(source) for source in profile.source]) as scratch:
        roots = fetch(profile.source, scratch.path, bar=byte_bar)
        samples, _ = ingest(profile.reader, roots, out, scale=Scale(*profile.scale), progress=progress)
        shutil.rmtree(scratch.path / "unpacked", ignore_errors=True)
    return samples


def _to_be_known(about: Mapping[str, Any]) -> Iterator[str]:
    """What a data set does not have, and what it has twice, in a line each."""
    for why, count in about["left_out"].items():
        yield f"{count:,} images left out: {why}"
    for aspect, count in about["unrated"].items():
        yield f"{count:,} images have no MOS of {aspect}, and are left out where it is learnt and tested"
    if count := about["repeated"]["pictures"]:
        yield f"{count:,} images show the picture of another one; no split that is dealt here takes them apart"
    if count := about["repeated"]["prompts"]:
        yield f"{count:,} prompts are another one, but for case, spaces or punctuation; they count as that one"
    if (count := about["groups"]["largest"]) > about["images"] / 2:
        yield f"{count:,} of {about['images']:,} images are one group: they share prompts or pictures"


if __name__ == "__main__":
    stage(main)
