"""AGIQA-3K (Li et al. 2023): data.csv as its authors publish it, and its images in any folder.

Columns: name, prompt, adj1, adj2, style, mos_quality, std_quality, mos_align, std_align, from 0 to 5. What the authors
call alignment is correspondence here. Over all images both MOS have mean 2.50 and deviation 1.00, cut off at 0: they
were standardised after they were averaged, and the spread beside them says nothing of their noise
(evaluation/ceiling.py).

Who made an image stands in its name: `sd1.5_lowstep_081.jpg` is by sd1.5, with few steps. Six generators, in ten
settings; a setting counts as a generator of its own, because knowing it is worth a lot: on the published quality split
the mean of the setting gives SRCC .738, the mean of the bare generator .599.
"""

import re
from collections.abc import Iterator

from data.ingest.labels import Rated, read_rows
from data.ingest.lookup import Files
from m3agiqa.aspects import Scale
from m3agiqa.errors import InputError

GENERATORS = ("AttnGAN", "DALLE2", "glide", "midjourney", "sd1.5", "xl2.2")
NAME = re.compile(rf"(({'|'.join(map(re.escape, GENERATORS))})_[a-z]+)_\d+\.jpg")
COLUMNS = {"quality": "quality", "correspondence": "align"}


def read(files: Files, _scale: Scale) -> Iterator[Rated]:
    labels = [f"{kind}_{column}" for column in COLUMNS.values() for kind in ("mos", "std")]
    for where, row in read_rows(files.find("data.csv"), ["name", "prompt", *labels]):
        match = NAME.fullmatch(row["name"])
        if not match:
            raise InputError(
                f"{where}: name {row['name']!r}, expected <generator>_<setting>_<number>.jpg with a generator of "
                f"AGIQA-3K: {', '.join(GENERATORS)}"
            )
        yield Rated(
            where=where,
            name=row["name"],
            file=row["name"],
            prompt=row["prompt"],
            generator=match[1],
            mos={aspect: row[f"mos_{column}"] for aspect, column in COLUMNS.items()},
            std={aspect: row[f"std_{column}"] for aspect, column in COLUMNS.items()},
        )
