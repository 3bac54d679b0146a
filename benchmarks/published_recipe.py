"""An epoch of the head from the cache beside one of the published recipe: `python -m benchmarks.published_recipe`.

The published recipe trains with a batch of 1 and runs the MLLM again for every image in every epoch; its vocabulary
logits go through Linear(128256 -> 512) into four xLSTM blocks of dim 512, in 16-bit mixed precision. Ours reads the
last hidden states from disk. Both in one run, on one machine, with the same images.

On a GPU the language model has the full size of MiniCPM-Llama3-V-2.5's (8 B parameters, bfloat16, 640 tokens an
image), elsewhere a tiny one; its weights are random, which changes no time. What would make the published epoch
longer still is left out: reading and slicing the images, the vision tower, and xlstm's vanilla recurrence, in whose
place both get the fastest there is here (benchmarks/slstm.py).
"""

import tempfile
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.feature_store import rows
from data.feature_store.shuffle import Shuffle
from data.feature_store.store import FeatureStore
from data.feature_store.writer import FeatureWriter
from finetune.heads.training import train_head
from m3agiqa.head.model import build_head
from m3agiqa.head.stacks import xlstm_stack
from pipeline.settings import load

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
IMAGES, TOKENS = (1024, 640) if DEVICE == "cuda" else (64, 40)
RUN_ANEW = IMAGES // 16  # images of the published epoch that are run; it has no part that grows with their number
T = TypeVar("T")
FULL_SIZE: dict[str, Any] = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "rope_theta": 500000.0,
}
TINY: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 448,
    "vocab_size": 4008,
}


class PublishedHead(nn.Module):
    """Vocabulary logits (B, T, V) -> Linear -> xLSTM stack -> mean over the tokens -> regressor -> (B,)."""

    def __init__(self, vocabulary: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(vocabulary, dim)
        self.stack = xlstm_stack(dim, blocks=4, slstm_at=[1], heads=4, dropout=0.0)
        self.regressor = nn.Sequential(nn.Linear(dim, dim // 4), nn.ReLU(), nn.Linear(dim // 4, 1))

    def forward(self, logits: Tensor) -> Tensor:
        scores: Tensor = self.regressor(self.stack(self.project(logits)).mean(dim=1)).squeeze(-1)
        return scores


def main() -> None:
    shapes = FULL_SIZE if DEVICE == "cuda" else TINY
    profile = load().heads["xlstm"].model_dump()
    published = {**profile, "dim": 512 if DEVICE == "cuda" else 64, "blocks": 4, "slstm_at": [1], "hidden": 128}
    where = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{IMAGES} images, {TOKENS} tokens, {where}, torch {torch.__version__}; {shapes}")

    anew, mllm = published_epoch(shapes, published["dim"])
    print(f"published recipe: {1e3 * anew:.2f} ms an image, of which {1e3 * mllm:.2f} the MLLM; {_epoch(anew)}")
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder), shapes["hidden_size"])
        reading = reading_epoch(store)
        print(f"reading the cache alone: {1e3 * reading:.2f} ms an image; {_epoch(reading)}")
        for name, settings, batch in (
            ("the default head, batch 16", profile, 16),
            ("the default head, batch 64", profile, 64),
            ("the default head, batch 128", profile, 128),
            ("the published stack, batch 16", published, 16),
        ):
            if batch > IMAGES // 2:
                continue
            cached, first = cached_epoch(store, settings, batch)
            print(
                f"from the cache, {name}: {1e3 * cached:.2f} ms an image; {_epoch(cached)}: **{anew / cached:.0f} x** "
                f"as fast as the published recipe; once, before the first epoch: {first:.1f} s of statistics"
                + (f"; {torch.cuda.max_memory_allocated() / 1e9:.1f} GB at most" if DEVICE == "cuda" else "")
            )


def _epoch(seconds: float) -> str:
    return f"{seconds * IMAGES:.2f} s an epoch here, {seconds * 2982 / 60:.2f} min over AGIQA-3K's 2,982 images"


class Published(NamedTuple):
    """Seconds an image."""

    whole: float
    mllm: float  # of them


def published_epoch(shapes: dict[str, Any], dim: int) -> Published:
    torch.manual_seed(0)
    dtype = torch.bfloat16 if DEVICE == "cuda" else torch.float32
    with torch.device(DEVICE):
        torch.set_default_dtype(dtype)
        settings: dict[str, Any] = {**shapes, "use_cache": False, "attn_implementation": "sdpa"}
        mllm = LlamaForCausalLM(LlamaConfig(**settings)).eval()
        torch.set_default_dtype(torch.float32)
    head = PublishedHead(shapes["vocab_size"], dim).to(DEVICE)
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-5)
    vectors = torch.randn(1, TOKENS, shapes["hidden_size"], device=DEVICE, dtype=dtype)
    mos = torch.ones(1, device=DEVICE)

    def logits() -> Tensor:
        with torch.no_grad():
            found: Tensor = mllm(inputs_embeds=vectors).logits  # (1, T, V)
        return found

    def step() -> None:
        with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=DEVICE == "cuda"):
            loss = mse_loss(head(logits()).float(), mos)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()  # is logged

    return Published(_seconds_each(step, RUN_ANEW), _seconds_each(logits, RUN_ANEW))


def _seconds_each(action: Callable[[], object], times: int) -> float:
    for _ in range(3):
        action()
    start = _clock()
    for _ in range(times):
        action()
    return (_clock() - start) / times


def _clock() -> float:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def write_store(folder: Path, dim: int) -> FeatureStore:
    """Of four different images again and again: nothing is to be learnt from it."""
    writer = FeatureWriter(folder, {}, [f"image-{number:04d}" for number in range(IMAGES)])
    for part in writer.missing():
        writer.write(part, rows(part.image_ids, TOKENS, dim))
    return FeatureStore.open(folder, cache_bytes=1)  # nothing is kept in memory, as if it did not fit


def reading_epoch(store: FeatureStore) -> float:
    """Seconds an image, read in training's order and brought to the device."""
    start = _clock()
    for images in store.batches(store.ids, 16, Shuffle(0), pin=DEVICE == "cuda"):
        images.to(DEVICE)
    return (_clock() - start) / IMAGES


class Cached(NamedTuple):
    """Seconds from the cache."""

    image: float  # of the fastest of three epochs of `train_head`
    first: float  # before the first


def cached_epoch(store: FeatureStore, settings: dict[str, Any], batch: int) -> Cached:
    mos = np.linspace(0, 5, IMAGES)
    table = pd.DataFrame({"image_id": store.ids, "mos": mos})
    ends = []

    def clock(epochs: Iterable[T], /, **_: object) -> Iterable[T]:
        for epoch in epochs:
            ends.append(_clock())
            yield epoch
        ends.append(_clock())

    recipe = load().train.model_copy(update={"epochs": 4, "batch": batch})
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = _clock()
    head = build_head(input_dim=store.dim, seed=0, **settings)
    train_head(head, store, table[8:], table[:8], recipe, device=DEVICE, progress=clock)  # an epoch scores val too
    return Cached(min(end - begin for begin, end in pairwise(ends)) / IMAGES, ends[0] - start)


if __name__ == "__main__":
    main()
