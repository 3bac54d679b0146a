"""Stand-ins for the images of a labelled data set."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.ingest.labels import Rated
from data.ingest.lookup import Files
from data.readers import read_labels


def image_bytes(shade: int = 0, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (16, 16), (shade % 256, shade // 256, 0)).save(content, form)
    return content.getvalue()


def write_images(folder: Path, names: Iterable[str]) -> None:
    """A small image for each name, one like the other."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"png": image_bytes(), "jpg": image_bytes(form="JPEG")}
    for name in names:
        (folder / name).write_bytes(content[name.rpartition(".")[2]])


def write_noise(folder: Path, names: Iterable[str], seed: int = 0) -> None:
    """A picture of noise for each name, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(seed)
    for name in names:
        Image.fromarray(dice.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / name)


def read_real(reader: str, folder: Path) -> list[Rated]:
    """What a reader finds in a prepared folder, rated from 0 to 100; the test is skipped where that is not there."""
    if not folder.exists():
        pytest.skip(f"the prepared images are not at {folder}")
    return list(read_labels(reader, Files([folder]), (0, 100)))


def to_split(rows: Iterable[Rated]) -> pd.DataFrame:
    """The columns that a split looks at."""
    return pd.DataFrame([{"image_id": row.name, "prompt": row.prompt, "generator": row.generator} for row in rows])
