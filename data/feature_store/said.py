"""What the MLLM said of each image: a description, and after it a rating word, one of five that it weighed.

The stage describe has the text as it was written. The pass that gives the states reads as much of it as fits together
with the image, and gives the word. Whoever shows a description shows what that pass read, as the scorer does.
"""

from pathlib import Path

import pandas as pd

from data.tables.frames import read_table
from m3agiqa.errors import InputError


def read_said(descriptions: Path, features: Path) -> pd.DataFrame:
    """One row an image, from the table at `descriptions` and the small columns of the store in the folder `features`.

    Columns: `image_id`; `description` as it was read; `word`, and the five words' `expected` score; and whether the
    image was taken in `fewer_views`, the description was `shortened`, and the MLLM was `cut_off` before it had ended.

    Raises:
        InputError: what `read_table` raises; no store there, or one of other images.
    """
    written = read_table(descriptions, ["description", "cut_off"])
    parts = [
        read_table(part, ["word", "expected", "fewer_views", "kept"])
        for part in sorted(features.glob("part-*.parquet"))
    ]
    if not parts or sorted(image_id for part in parts for image_id in part["image_id"]) != sorted(written["image_id"]):
        raise InputError(f"{features}: not the states of the images in {descriptions}; run the features stage")
    said = written.merge(pd.concat(parts), on="image_id", validate="1:1")
    kept = said.pop("kept")
    return said.assign(description=kept.fillna(said["description"]), shortened=kept.notna())
