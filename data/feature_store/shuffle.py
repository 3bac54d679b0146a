"""Which images stand together in a batch: those of like length, so that little is padded."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Shuffle(NamedTuple):
    """A random order of images, a function of seed and epoch alone.

    `window` batches at a time are sorted by length: many pad least, one mixes the batches best.
    """

    seed: int
    epoch: int = 0
    window: int = 16


def buckets(ids: list[str], tokens: Callable[[str], int], size: int, shuffle: Shuffle | None) -> list[list[str]]:
    """The images of each batch of `size`. Unshuffled, the longest come first: what does not fit fails at once."""
    if shuffle is None:
        ids = sorted(ids, key=lambda image_id: -tokens(image_id))
        return [ids[start : start + size] for start in range(0, len(ids), size)]
    random = np.random.default_rng([shuffle.seed, shuffle.epoch])
    ids = [ids[index] for index in random.permutation(len(ids))]
    found = []
    for start in range(0, len(ids), pool := size * shuffle.window):
        by_length = sorted(ids[start : start + pool], key=tokens)
        found += [by_length[first : first + size] for first in range(0, len(by_length), size)]
    return [found[index] for index in random.permutation(len(found))]
