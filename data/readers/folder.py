"""Your own images: data.csv and images/ beside it.

data.csv has the columns `name` (or `image`: a file in images/) and `prompt`, optionally `generator` and `comment`, any
of `mos_quality`, `mos_correspondence`, `mos_authenticity` on one declared scale, empty where an image was not rated,
and optionally the matching `std_…` and `published_split`: train, val or test of somebody's own split. Other columns are
ignored.
"""

from collections.abc import Iterator

from data.ingest.labels import Rated, read_rows
from data.ingest.lookup import Files
from m3agiqa.aspects import ASPECTS, Scale


def read(files: Files, _scale: Scale) -> Iterator[Rated]:
    columns = {aspect: f"mos_{aspect}" for aspect in ASPECTS}
    rows = read_rows(files.find("data.csv"), ["name", "prompt"], one_of=list(columns.values()), also={"image": "name"})
    for where, row in rows:
        name = row["name"].removeprefix("images/")
        aspects = [aspect for aspect, column in columns.items() if column in row]
        yield Rated(
            where=where,
            name=name,
            file=f"images/{name}",
            prompt=row["prompt"],
            generator=row.get("generator", ""),
            comment=row.get("comment", ""),
            mos={aspect: row[f"mos_{aspect}"] for aspect in aspects},
            std={aspect: row.get(f"std_{aspect}", "") for aspect in aspects},
            part=row.get("published_split", "").strip(),
        )
