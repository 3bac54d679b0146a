"""Which images the page shows, and the pictures themselves, small and inside the page."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from m3agiqa.thumbnails import thumbnail

SHOWN = 6  # images a row
THUMBNAIL = 288  # pixels, of the longer side


@dataclass(frozen=True)
class Example:
    """One image with everything that was said of it."""

    image_id: str
    generator: str
    prompt: str
    mos: float
    predicted: float
    description: str
    word: str
    word_mos: str
    source: str  # a data: URI
    size: tuple[int, int]


def chosen(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The images with the smallest, the median and the largest error; none twice, ties by name."""
    ordered = rows.assign(error=(rows["predicted"] - rows["mos"]).abs()).sort_values(["error", "image_id"])
    count = min(SHOWN, len(ordered) // 3)
    middle = (len(ordered) - count) // 2
    return {
        "best": ordered.iloc[:count],
        "median": ordered.iloc[middle : middle + count],
        "worst": ordered.iloc[len(ordered) - count :].iloc[::-1],
    }


def examples(rows: pd.DataFrame, raw: Path) -> Iterable[Example]:
    """`rows` with their pictures, which lie below `raw`."""
    for row in rows.to_dict("records"):
        source, size = thumbnail(raw / row["path"], THUMBNAIL)
        said = {name: row[name] for name in Example.__dataclass_fields__ if name in row}
        yield Example(**said, source=source, size=size)
