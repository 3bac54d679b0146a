"""AIGCIQA-20k (Li et al. 2024): data.csv, the authors' parts in info_train.csv, info_val.csv, info_test.csv, images.

data.csv has name, prompt and mos, from 0 to 5; the info files have name. The generator stands in the image's name,
before the last underscore: `DALLE2_0000.png`. In the public mirror the MOS of val and test are empty. Nobody can learn
from such an image or be scored on it, so it is left out, and counted by its part; in train it is an error.
"""

from collections.abc import Iterator

from data.ingest.labels import Rated, read_rows
from data.ingest.lookup import Files
from m3agiqa.aspects import Scale
from m3agiqa.errors import InputError

PARTS = ("train", "val", "test")


def read(files: Files, _scale: Scale) -> Iterator[Rated]:
    parts = _parts(files)
    for where, row in read_rows(files.find("data.csv"), ["name", "prompt", "mos"]):
        name, mos = row["name"], row["mos"].strip()
        generator, underscore, _ = name.rpartition("_")
        if not underscore:
            raise InputError(f"{where}: name {name!r}, expected a generator, '_' and a number, as in DALLE2_0000.png")
        if name not in parts:
            raise InputError(f"{where}: {name!r} is in none of info_train.csv, info_val.csv and info_test.csv")
        part = parts[name]
        if not mos and part == "train":
            raise InputError(f"{where}: {name!r} has no MOS; only images of val and test may lack it")
        yield Rated(
            where=where,
            name=name,
            file=name,
            prompt=row["prompt"],
            generator=generator,
            mos={"quality": mos},
            part=part,
            left_out="" if mos else f"no MOS ({part})",
        )


def _parts(files: Files) -> dict[str, str]:
    """Name of each image -> its part of the authors' split."""
    parts: dict[str, str] = {}
    for part in PARTS:
        for where, row in read_rows(files.find(f"info_{part}.csv"), ["name"]):
            if (other := parts.setdefault(row["name"], part)) != part:
                raise InputError(f"{where}: {row['name']!r} is in info_{other}.csv too")
    return parts
