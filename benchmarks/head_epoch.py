"""One epoch of the head from the cache against one that runs the MLLM again: `python -m benchmarks.head_epoch`.

The MLLM is the embedded one, 8 M parameters, on the CPU: the smallest there is, so the least that a cache can save.
Both epochs train the default head on the same images and the same conversations; the floor is the head's own time,
on states that already lie in memory.
"""

import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from PIL import Image

from data.feature_store.shuffle import Shuffle
from data.feature_store.store import FeatureStore
from data.feature_store.writer import FeatureWriter, ReadImage
from finetune.heads.training import train_head
from m3agiqa.head.model import build_head
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.profile import Profile
from pipeline.settings import PARAMS, load
from stages.features import as_stored

T = TypeVar("T")
IMAGES, BATCH = 128, 16
DESCRIPTION = "The picture is soft and a little noisy; the edges of the red cube are blurred. " * 3


def main() -> None:
    random = np.random.default_rng(0)
    pictures = [Image.fromarray(random.integers(0, 256, (192, 192, 3), dtype=np.uint8)) for _ in range(IMAGES)]
    texts = [conversation("quality", f"a red cube, number {number}", DESCRIPTION) for number in range(IMAGES)]
    ids = [f"image-{number:03d}" for number in range(IMAGES)]
    mllm = LocalMLLM.load(
        Profile(model="models/tiny", dtype="float32", max_length=384, max_new_tokens=96), device="cpu"
    )

    def read_with_the_mllm(images: Sequence[str]) -> list[ReadImage]:
        rows = [ids.index(image_id) for image_id in images]
        readings = mllm.read([pictures[row] for row in rows], [texts[row] for row in rows])
        return [as_stored(*each) for each in zip(images, readings, strict=True)]

    with tempfile.TemporaryDirectory() as folder:
        writer = FeatureWriter(folder, {}, ids, shard_images=BATCH)
        for part in writer.missing():
            writer.write(part, read_with_the_mllm(part.image_ids))
        cached = FeatureStore.open(Path(folder), cache_bytes=1)  # even a store that does not fit into memory
        in_memory = FeatureStore.open(Path(folder))
        reading, reading_again = _seconds_to_read(in_memory), _seconds_to_read(cached)
        training = _seconds_to_train(in_memory, ids)
        start = time.perf_counter()
        for first in range(0, IMAGES, BATCH):
            read_with_the_mllm(ids[first : first + BATCH])
        running = time.perf_counter() - start

    print(f"{IMAGES} images of {cached.max_tokens} tokens x {cached.dim}, {torch.get_num_threads()} threads")
    print(f"states: {running:.2f} s from the MLLM, {reading_again:.3f} s from disk, {reading:.3f} s from memory")
    print(f"the head itself: {training:.2f} s an epoch")
    print(
        f"an epoch from the cache: {(training + reading_again) / training:.2f} x the floor; "
        f"one that runs the MLLM again: {(training + running) / training:.2f} x the floor, "
        f"{(training + running) / (training + reading_again):.2f} x the cache's"
    )
    print(f"the states alone: {running / reading_again:.0f} x as fast from disk as from the MLLM")


def _seconds_to_read(store: FeatureStore) -> float:
    for _ in store.batches(store.ids, BATCH, Shuffle(0)):  # once before: what fits into the cache is there
        pass
    start = time.perf_counter()
    for _ in store.batches(store.ids, BATCH, Shuffle(0, 1)):
        pass
    return time.perf_counter() - start


def _seconds_to_train(store: FeatureStore, ids: list[str]) -> float:
    table = pd.DataFrame({"image_id": ids, "mos": np.linspace(0, 5, len(ids))})
    ends = []

    def clock(epochs: Iterable[T], /, **_: object) -> Iterable[T]:
        for epoch in epochs:
            ends.append(time.perf_counter())
            yield epoch
        ends.append(time.perf_counter())

    settings = load(Path(__file__).parents[1] / PARAMS).train.model_copy(update={"epochs": 3, "batch": BATCH})
    train_head(build_head("xlstm", store.dim, seed=0), store, table[8:], table[:8], settings, progress=clock)
    return min(end - start for start, end in pairwise(ends))


if __name__ == "__main__":
    main()
