"""The feature store against a raw file of the same bytes: `python -m benchmarks.feature_store`.

The floor is one plain file: the states written end to end and flushed to the disk; read back, each image with one
`read` at its place. Both read from the page cache, so what is compared is software, not the disk.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks import seconds
from data.feature_store.store import FeatureStore
from data.feature_store.writer import FeatureWriter, ReadImage
from m3agiqa.spans import Span

SHAPES = {"8 B model, 477 x 4096": (128, 477, 4096), "tiny, 150 x 256": (4096, 150, 256)}


def rows(images: Sequence[str], tokens: int, dim: int) -> Iterator[ReadImage]:
    """A few different states, again and again: making them must not count."""
    pool = [torch.randn(tokens, dim, generator=torch.Generator().manual_seed(n)).bfloat16() for n in range(4)]
    told = Span(tokens // 2, tokens), "fair", 2.5, False, None, torch.zeros(2 * dim)
    return (ReadImage(image_id, pool[number % 4], *told) for number, image_id in enumerate(images))


def write_raw(path: Path, images: Sequence[str], tokens: int, dim: int) -> None:
    with path.open("wb") as file:
        for row in rows(images, tokens, dim):
            file.write(row.states.view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())


def read_raw(path: Path, order: Sequence[int], tokens: int, dim: int) -> None:
    size = 2 * tokens * dim
    with path.open("rb", buffering=0) as file:
        for place in order:
            file.seek(place * size)
            torch.from_numpy(np.fromfile(file, np.uint8, size)).view(torch.bfloat16).view(tokens, dim)


def write_store(folder: Path, images: Sequence[str], tokens: int, dim: int) -> None:
    writer = FeatureWriter(folder, {"run": os.urandom(4).hex()}, images)  # new each time: nothing is there already
    for part in writer.missing():
        writer.write(part, rows(part.image_ids, tokens, dim))


def read_store(folder: Path, order: Sequence[str]) -> None:
    store = FeatureStore.open(folder, cache_bytes=1)  # nothing but the row group in hand
    for image_id in order:
        store[image_id]


def main() -> None:
    for name, (count, tokens, dim) in SHAPES.items():
        images = [f"image-{number:05d}" for number in range(count)]
        shuffled = np.random.default_rng(0).permutation(count)[:256].tolist()
        megabytes = count * tokens * dim * 2 / 1e6
        with tempfile.TemporaryDirectory() as folder:
            raw, store = Path(folder) / "raw", Path(folder) / "store"
            floors = {
                "write": seconds(partial(write_raw, raw, images, tokens, dim)),
                "read in order": seconds(partial(read_raw, raw, range(count), tokens, dim)),
                "read at random": seconds(partial(read_raw, raw, shuffled, tokens, dim)),
            }
            ours = {
                "write": seconds(partial(write_store, store, images, tokens, dim)),
                "read in order": seconds(partial(read_store, store, images)),
                "read at random": seconds(partial(read_store, store, [images[place] for place in shuffled])),
            }
            size = sum(path.stat().st_size for path in store.iterdir()) / 1e6
        print(f"{name}: {count} images, {megabytes:.0f} MB, {size / megabytes:.4f} of that on disk")
        for what, floor in floors.items():
            amount = megabytes * (len(shuffled) / count if "random" in what else 1)
            speed = f"{amount / ours[what]:.0f} MB/s, raw {amount / floor:.0f} MB/s"
            print(f"  {what}: {ours[what] / floor:.1f} x the raw file's time ({speed})")


if __name__ == "__main__":
    main()
