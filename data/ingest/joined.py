"""Several data sets as one: each image with the aspects that it was rated on, and no picture twice.

Scales: each set's MOS come from its own declared scale to 0 to 5, as they do alone, and are moved no further. That half
of one scale means as much as half of another is an assumption; where no picture was rated in two sets, nothing says by
how much they differ. What a set's name alone predicts is among the baselines, as a generator's is.

Names: `100.jpg` of clive is clive_100.jpg here. An image's generator is its set's name and, where the set tells it, the
generator: `clive`, `avt-ai/glide`. So figures by generator are figures by set, and every part of a split has its share
of every set.

A picture that several sets have is kept once, as the first of them has it. The aspects that it was not rated on there
come from the others; correspondence only under the same prompt, because it is a rating of both.
"""

import math
import os
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from data.ingest.samples import PUBLISHED, Ingested, counts
from data.splitting.prompts import prompts_of
from data.tables.frames import SPLITS, aspects_of, check_samples, read_table, write_table
from m3agiqa.aspects import MOS_RANGE
from m3agiqa.errors import InputError
from m3agiqa.files import read_json, write_json

Row = dict[Hashable, Any]


def join(folders: Mapping[str, Path], out: Path) -> Ingested:
    """Move the images of the data sets in `folders`, by name, to `out`/images/; their samples, and what is to be known.

    `out`/sets.parquet says which set an image is of. The authors' own splits that there are become one, in
    `out`/published_split.parquet: the images of a set that has none are for training, and a picture in several sets is
    tested if any of them tests it.

    Raises:
        InputError: two images would have one name.
    """
    tables = [_renamed(name, folder) for name, folder in folders.items()]
    table = pd.concat(tables, ignore_index=True)  # in the order of the sets
    if (twice := table["path"].duplicated() | table["image_id"].duplicated()).any():
        name = Path(table.loc[twice, "path"].iloc[0]).name
        raise InputError(f"joined: two images would be called {name!r}; give one of the data sets another name")
    table, left_out = _once(table)
    samples = check_samples(table, " and ".join(folders))

    (out / "images").mkdir(parents=True, exist_ok=True)
    for file, path in zip(table["file"], table["path"], strict=True):
        os.replace(file, out / path)
    if table["split"].ne("").any():
        own = table[["image_id", "split"]]
        write_table(own.assign(split=own["split"].where(own["split"] != "", "train")), out / PUBLISHED)
    write_table(table[["image_id", "set"]], out / "sets.parquet")
    about = _about(folders, table, left_out)
    write_json(out / "about.json", about)
    return Ingested(samples, about)


def _renamed(name: str, folder: Path) -> pd.DataFrame:
    """The samples of one set as they are called here, with its name (`set`), their `file` and the authors' `split`."""
    samples, own = read_table(folder / "samples.parquet"), folder / PUBLISHED
    split = read_table(own, ["split"]).set_index("image_id")["split"].to_dict() if own.exists() else {}
    generator = samples["generator"].where(samples["generator"] == "", "/" + samples["generator"])
    return samples.assign(
        set=name,
        file=[folder / path for path in samples["path"]],
        split=[split.get(image_id, "") for image_id in samples["image_id"]],
        image_id=f"{name}_" + samples["image_id"],
        path=f"images/{name}_" + samples["path"].str.removeprefix("images/"),
        generator=name + generator,
    )


def _once(table: pd.DataFrame) -> tuple[pd.DataFrame, Counter[str]]:
    """Without the pictures that an earlier set has, whose rows are filled from them; how many there were, by set."""
    aspects, kept, left_out = aspects_of(table), [], Counter[str]()
    first: dict[str, Row] = {}  # by picture
    for row in table.assign(asked=prompts_of(table)).to_dict("records"):
        earlier = first.setdefault(row["pixels"], row)
        if earlier["set"] == row["set"]:
            kept.append(row)
        else:
            _fill(earlier, row, aspects)
            left_out[f"{row['set']}: pictures that {earlier['set']} has"] += 1
    return pd.DataFrame(kept), left_out


def _fill(kept: Row, copy: Row, aspects: Iterable[str]) -> None:
    """Add to a picture's row what another set says of it, too."""
    for aspect in aspects:
        rated_alike = aspect != "correspondence" or kept["asked"] == copy["asked"]
        if math.isnan(kept[f"mos_{aspect}"]) and rated_alike:
            kept |= {column: copy[column] for column in (f"mos_{aspect}", f"std_{aspect}")}
    kept["split"] = max(kept["split"], copy["split"], key=["", *SPLITS].index)


def _about(folders: Mapping[str, Path], table: pd.DataFrame, left_out: Counter[str]) -> dict[str, Any]:
    """What data/ingest/samples.py says of a data set, and that of each; a rendered one says nothing of itself."""
    of = {name: read_json(path) if (path := folder / "about.json").exists() else {} for name, folder in folders.items()}
    for name, about in of.items():
        left_out.update({f"{name}: {why}": count for why, count in about.get("left_out", {}).items()})
    return {
        "reader": "joined",
        "scale": list(MOS_RANGE),
        "of": of,
        "left_out": dict(left_out),
        "without_published_split": [name for name, folder in folders.items() if not (folder / PUBLISHED).exists()],
        **counts(table),
    }
