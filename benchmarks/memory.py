"""Peak memory with 1 x and with 8 x the images: `python -m benchmarks.memory`.

Each measurement is a process of its own, because a peak never comes down again. The floor is the process that has
imported everything and touched nothing. Flat means: 8 times the images, the same peak.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch

from benchmarks import peak_memory
from benchmarks.feature_store import rows
from data.feature_store.store import FeatureStore
from data.feature_store.writer import FeatureWriter
from finetune.heads.training import train_head
from m3agiqa.head.model import build_head
from pipeline.settings import PARAMS, load

TOKENS, DIM = 150, 1024  # 0.3 MB an image
IMAGES = 1000  # 0.3 GB, more than the reader's cache; 8 x is 2.5 GB


def write(folder: Path, images: int, tokens: int = TOKENS, dim: int = DIM) -> None:
    writer = FeatureWriter(folder, {}, [f"image-{number:05d}" for number in range(images)])
    for part in writer.missing():
        writer.write(part, rows(part.image_ids, tokens, dim))


def read(folder: Path, images: int) -> None:
    store = FeatureStore.open(folder)
    assert len(store) == images  # noqa: S101
    for _ in store.rows():
        pass


def train(folder: Path, images: int) -> None:
    store = FeatureStore.open(folder)
    table = pd.DataFrame({"image_id": store.ids, "mos": torch.rand(images).tolist()})
    head = build_head("mlp", DIM, seed=0, dim=16, hidden=16)
    settings = load(Path(__file__).parents[1] / PARAMS).train.model_copy(update={"epochs": 1, "batch": 8})
    train_head(head, store, table[20:], table[:20], settings)


def nothing(folder: Path, images: int) -> None:
    """Do nothing: the floor."""


STEPS = {"nothing": nothing, "write": write, "read": read, "train": train}


def peak(step: str, folder: Path, images: int) -> float:
    """Peak resident memory, in MB, of a process that does one step."""
    command = [sys.executable, "-m", "benchmarks.memory", step, str(folder), str(images)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        floor = peak("nothing", Path(folder), 0)
        print(f"floor, everything imported: {floor:.0f} MB")
        stores = {images: Path(folder) / str(images) for images in (IMAGES, 8 * IMAGES)}
        for step in ("write", "read", "train"):
            small, large = (peak(step, store, images) for images, store in stores.items())
            megabytes = IMAGES * TOKENS * DIM * 2 / 1e6
            print(
                f"{step}: {large / small:.2f} x the memory for 8 x the images "
                f"({small:.0f} MB for {megabytes:.0f} MB of states, {large:.0f} MB for {8 * megabytes:.0f} MB)"
            )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        torch.set_num_threads(1)
        STEPS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
        print(peak_memory())
    else:
        main()
