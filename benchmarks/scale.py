"""What grows with the number of images: `python -m benchmarks.scale`, a line a part and number.

Each measurement is a process of its own, which is given made-up tables and states, small where their width does not
matter. Printed are its seconds, and the most memory it took beyond the process that has imported everything.
docs/scale.md has the lines as a table.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import peak_memory
from benchmarks.memory import write
from data.download.local_files import look_at
from data.feature_store.store import FeatureStore
from data.splitting.protocols import prompt_disjoint
from evaluation import bootstrap, ridge
from evaluation.baselines import PENALTIES, Rows, tfidf_description
from evaluation.rows_on_disk import RowsOnDisk
from finetune.heads.pairs import rank_loss

NUMBERS = (1000, 20_000, 200_000)
RESAMPLES = 20  # of the 1,000 of an interval
DIM = 256
WORDS = ("sharp", "blurred", "red", "two", "cubes", "noise", "left", "sky", "colours", "washed", "grain", "good", "bad")


def nothing(folder: Path, images: int) -> None:
    """Do nothing: the floor."""


def source(folder: Path, _: int) -> None:
    look_at(str(folder / "files"))


def split(_: Path, images: int) -> None:
    prompt_disjoint(_table(images), val=0.12, test=0.25, seed=0)


def opened(folder: Path, _: int) -> None:
    FeatureStore.open(folder / "store")


def rank(_: Path, images: int) -> None:
    x, y = _pair(images)
    rank_loss(x, y)


def srcc(_: Path, images: int) -> None:
    bootstrap.interval(bootstrap.srcc, *_pair(images), np.arange(images) // 6, resamples=RESAMPLES, seed=0)


def krcc(_: Path, images: int) -> None:
    bootstrap.interval(bootstrap.krcc, *_pair(images), np.arange(images) // 6, resamples=RESAMPLES, seed=0)


def states(folder: Path, images: int) -> None:
    """A ridge on mean states that lie in a file."""
    train = np.arange(0, images, 2)
    with (folder / "means").open("r+b") as file:
        means = RowsOnDisk(file)
        means.shape = (images, DIM)
        ridge.fit(means, train, _pair(images)[1][train], PENALTIES).predict(means)


def words(_: Path, images: int) -> None:
    """A ridge on the words of descriptions."""
    table = _table(images).assign(split=np.resize(["train", "val", "train", "test"], images), mos=_pair(images)[1])
    table["description"] = table["prompt"]
    tfidf_description(Rows(table, table[[]], *[np.zeros((images, 1), np.float32)] * 2))


STEPS: dict[str, Callable[[Path, int], None]] = {
    step.__name__: step for step in (nothing, source, split, opened, rank, srcc, krcc, states, words)
}


def _pair(images: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    mos = random.uniform(0, 5, images)
    return mos + random.normal(0, 0.5, images), mos


def _table(images: int) -> pd.DataFrame:
    """Six images a prompt of twelve words."""
    random = np.random.default_rng(0)
    prompts = [" ".join(random.choice(WORDS, 12)) for _ in range(-(-images // 6))]
    return pd.DataFrame(
        {
            "image_id": [f"image-{number:07d}" for number in range(images)],
            "prompt": [prompts[number // 6] for number in range(images)],
            "generator": [f"g{number % 6}" for number in range(images)],
        }
    )


def prepare(folder: Path, images: int) -> None:
    """What the steps find on the disk."""
    (folder / "files").mkdir()
    for number in range(images):
        (folder / "files" / f"{number}.png").touch()
    write(folder / "store", images, tokens=4, dim=8)
    with (folder / "means").open("wb") as file:
        for _ in range(images // 1000):
            file.write(np.random.default_rng(0).normal(size=(1000, DIM)).astype(np.float32).tobytes())


def main() -> None:
    for images in NUMBERS:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), images)
            floor = 0.0
            for step in STEPS:
                command = [sys.executable, "-m", "benchmarks.scale", step, folder, str(images)]
                ran = subprocess.run(command, check=True, capture_output=True, text=True)
                seconds, peak = map(float, ran.stdout.split())
                floor = floor or peak
                print(f"{step}, {images} images: {seconds:.2f} s, {peak - floor:.0f} MB")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        start = time.perf_counter()
        STEPS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
        print(time.perf_counter() - start, peak_memory())
    else:
        main()
