"""Which example is learned from when."""

from collections.abc import Sequence

import torch

WINDOW = 16  # batches whose examples are sorted by length together


def order(lengths: Sequence[int], epochs: int, batch: int, seed: int) -> list[int]:
    """Which example comes when, for all epochs in one list; `batch` in a row are of similar length.

    Within windows of WINDOW batches the shuffled examples are sorted by length, and the batches shuffled again. Only
    the very last batch may be short.
    """
    draw = torch.Generator().manual_seed(seed)
    shuffled = [i for _ in range(epochs) for i in torch.randperm(len(lengths), generator=draw).tolist()]
    found: list[int] = []
    for start in range(0, len(shuffled), WINDOW * batch):
        window = sorted(shuffled[start : start + WINDOW * batch], key=lambda i: lengths[i])
        whole = len(window) // batch
        for at in torch.randperm(whole, generator=draw).tolist():
            found += window[at * batch : (at + 1) * batch]
        found += window[whole * batch :]
    return found
