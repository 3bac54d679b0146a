"""The images that a head learns from or is chosen on, read again in every epoch.

What is constant an image is computed once, when it is first read: its statistics (m3agiqa/head/model.py). On a GPU the
states stay there, end to end in one tensor, if they take no more than half of what is free; elsewhere each epoch reads
them from the store, ahead of the step that wants them.

In training the stack sees a random part of the tokens (`share` is dropped): a sequence is never twice the same, and a
step takes half the time. Which ones is drawn on the host, so that every device sees the same, and no step waits for a
GPU to tell how many are left.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data.feature_store.shuffle import Shuffle
from data.feature_store.store import FeatureStore
from finetune.heads.moments import Moments
from m3agiqa.ahead import ahead
from m3agiqa.head.model import statistics

ROOM = 0.5  # of a GPU's free memory, for states


class Step(NamedTuple):
    """Some images, as a head in training takes them."""

    rows: Tensor  # (B,), which of the examples
    states: Tensor  # (B, T, D), the dtype of the store
    mask: Tensor  # (B, T), True at tokens that are there and kept
    moments: Tensor  # (B, 4 D), the statistics of all tokens
    mos: Tensor  # (B,)


class Examples:
    """Images with their MOS. All are read once, when this is made."""

    def __init__(self, store: FeatureStore, mos: Mapping[str, float], device: str) -> None:
        self._store, self._device, self._on_gpu = store, device, device.startswith("cuda")
        self._rows = {image_id: row for row, image_id in enumerate(mos)}
        self.mos = torch.tensor(list(mos.values()), dtype=torch.float32, device=device)  # (N,)
        self.moments = torch.empty(len(mos), 4 * store.dim, device=device)  # (N, 4 D)
        self.tokens, self.images = Moments(), Moments()  # over all tokens (D,), over the images' statistics (4 D,)
        lengths = [store.tokens(image_id) for image_id in mos]
        self._starts = torch.tensor([0, *np.cumsum(lengths)[:-1].tolist()], device=device)  # (N,), in `_held`
        self._held = self._room(sum(lengths))
        self._read()

    def _room(self, tokens: int) -> Tensor | None:
        """Where the states of all images go, one after another: (tokens, D), or None where there is none."""
        if not self._on_gpu:
            return None
        dtype = self._store.dtype
        if tokens * self._store.dim * dtype.itemsize > ROOM * torch.cuda.mem_get_info(self._device)[0]:
            return None
        return torch.empty(tokens, self._store.dim, dtype=dtype, device=self._device)

    def _read(self) -> None:
        where = self._device if self._on_gpu else "cpu"  # Apple's GPUs have no float64
        for images in self._store.batches(list(self._rows), 4, pin=self._on_gpu):
            states, mask, description = images.to(where).tensors
            moments = statistics(states.double(), mask, description)  # (B, 4 D)
            self.tokens.add(states[mask].double())
            self.images.add(moments)
            for row, its, each, there in zip(self._of(images.image_ids), moments, states, mask, strict=True):
                self.moments[row] = its.float()
                if self._held is not None:
                    start = int(self._starts[row])
                    self._held[start : start + int(there.sum())] = each[there]

    def batches(self, size: int, shuffle: Shuffle | None = None, *, share: float = 0.0) -> Iterator[Step]:
        """All images once, in the batches of the store; which tokens are dropped is the shuffle's draw, too."""
        random = np.random.default_rng([shuffle.seed, shuffle.epoch] if shuffle else 0)
        ids = list(self._rows)
        if self._held is None:
            for images in self._store.batches(ids, size, shuffle, pin=self._on_gpu):
                chosen = self._choose(images.image_ids, share, random)
                states = images.states.to(self._device, non_blocking=True)
                within = torch.arange(len(states), device=self._device)[:, None]  # (B, 1)
                yield self._step(chosen, states[within, chosen.places])
        else:
            buckets = self._store.buckets(ids, size, shuffle)
            for chosen in ahead(lambda some: self._choose(some, share, random), buckets, 1):  # one thread: in order
                places = self._starts[chosen.rows][:, None] + chosen.places  # (B, T)
                yield self._step(chosen, self._held[places])

    def _step(self, chosen: "_Chosen", states: Tensor) -> Step:
        return Step(chosen.rows, states, chosen.mask, self.moments[chosen.rows], self.mos[chosen.rows])

    def _choose(self, image_ids: Sequence[str], share: float, random: np.random.Generator) -> "_Chosen":
        rows, lengths = self._of(image_ids), np.array([self._store.tokens(image_id) for image_id in image_ids])
        kept = kept_tokens(lengths, share, random)
        return _Chosen(*(self._sent(torch.from_numpy(array)) for array in (np.array(rows), kept.places, kept.mask)))

    def _sent(self, tensor: Tensor) -> Tensor:
        """On the device, without a wait for it."""
        return (tensor.pin_memory() if self._on_gpu else tensor).to(self._device, non_blocking=True)

    def _of(self, image_ids: Sequence[str]) -> list[int]:
        return [self._rows[image_id] for image_id in image_ids]


class _Chosen(NamedTuple):
    """Some images and the tokens that the stack sees of them, on the device."""

    rows: Tensor  # (B,)
    places: Tensor  # (B, T), in each image's own sequence
    mask: Tensor  # (B, T)


class Kept(NamedTuple):
    """Which tokens of some sequences are kept, in their order."""

    places: np.ndarray  # (B, T), some place of the sequence where `mask` is False
    mask: np.ndarray  # (B, T)


def kept_tokens(lengths: np.ndarray, share: float, random: np.random.Generator) -> Kept:
    """Of B sequences of these lengths: each token is dropped with probability `share`, but never all of them."""
    there = np.arange(lengths.max()) < lengths[:, None]  # (B, longest)
    kept = there & (random.random(there.shape) >= share)
    kept |= there & ~kept.any(axis=1, keepdims=True)
    order = np.argsort(~kept, axis=1, kind="stable")[:, : kept.sum(axis=1).max()]  # (B, T)
    return Kept(np.minimum(order, lengths[:, None] - 1), np.take_along_axis(kept, order, axis=1))
