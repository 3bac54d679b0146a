"""RAISE (Mukherjee, Dubey and Paul 2025): 480 generated images and 120 photographs, realness from 0 to 100.

Its authors' repository, as their notebooks read it: dataset/ratings/train.csv and test.csv with the columns filename
(Image, in an earlier commit), MOS_Rating and MOS_ZScore, and the images in dataset/images/train_images/ and
test_images/. Realness is authenticity here. MOS_ZScore is MOS_Rating on a line, so that every correlation is the same
for both; the spread of the raters is in neither. The two tables are the authors' split, 510 and 90 images.

Names say what an image is: r1.png to r120.png are photographs, f1.png to f480.png are generated, by what is not known.
There are no prompts. A folder that has data.csv instead, as in `folder`, is read as such.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from data.ingest.labels import Rated, read_rows
from data.ingest.lookup import Files
from data.readers import folder
from m3agiqa.aspects import Scale
from m3agiqa.errors import InputError

NAME = re.compile(r"([rf])[0-9]{1,3}\.\w+")
KINDS = {"r": "photograph", "f": "generated"}  # in place of a generator's name


def read(files: Files, scale: Scale) -> Iterator[Rated]:
    rows = folder.read(files, scale) if files.matching("data.csv") else _of_repository(files)
    for row in rows:
        match = NAME.fullmatch(row.name)
        if not match:
            raise InputError(f"{row.where}: name {row.name!r}, expected r1.png to r120.png or f1.png to f480.png")
        yield row if row.generator else replace(row, generator=KINDS[match[1]])


def _of_repository(files: Files) -> Iterator[Rated]:
    first: dict[str, str] = {}
    for part in ("train", "test"):
        table = files.find(f"ratings/{part}.csv")
        for where, row in read_rows(table, ["filename", "MOS_Rating"], unique="filename", also={"Image": "filename"}):
            name = row["filename"]
            if (other := first.setdefault(name, part)) != part:
                raise InputError(f"{where}: {name!r} is in {other}.csv too")
            mos = {"authenticity": row["MOS_Rating"]}
            yield Rated(where, name=name, file=f"{part}_images/{name}", prompt="", mos=mos, part=part)
