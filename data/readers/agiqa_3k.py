"""AGIQA-3K (Li et al. 2023): data.csv as its authors publish it, and its images in any folder.

Columns: name, prompt, adj1, adj2, style, mos_quality, std_quality, mos_align, std_align, from 0 to 5. What the authors
call alignment is correspondence here. The generator stands in the image's name: `sd1.5_lowstep_081.jpg`.
"""

from collections.abc import Iterator

from data.errors import InputError
from data.labels import Rated, read_rows
from data.lookup import Files

GENERATORS = ("AttnGAN", "DALLE2", "glide", "midjourney", "sd1.5", "xl2.2")
COLUMNS = {"quality": "quality", "correspondence": "align"}


def read(files: Files, _scale: tuple[float, float]) -> Iterator[Rated]:
    labels = [f"{kind}_{column}" for column in COLUMNS.values() for kind in ("mos", "std")]
    for where, row in read_rows(files.find("data.csv"), ["name", "prompt", *labels]):
        generator = row["name"].partition("_")[0]
        if generator not in GENERATORS:
            raise InputError(
                f"{where}: name {row['name']!r}, expected it to start with a generator of AGIQA-3K and '_': "
                f"{', '.join(GENERATORS)}"
            )
        yield Rated(
            where=where,
            name=row["name"],
            file=row["name"],
            prompt=row["prompt"],
            generator=generator,
            mos={aspect: row[f"mos_{column}"] for aspect, column in COLUMNS.items()},
            std={aspect: row[f"std_{column}"] for aspect, column in COLUMNS.items()},
        )
