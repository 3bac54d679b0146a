"""Pairs of images, counted in many resamples at once: how many are tied, and how many in opposite order.

Kendall's tau is made of these (evaluation/bootstrap.py). A resample is a row of counts, how often each image is in it;
a pair of images is there as often as the product of its counts says. No two images are compared with each other: that
would take n² steps a resample.
"""

import numpy as np

from evaluation.metrics import Floats


def tied(counts: Floats, values: list[Floats]) -> Floats:
    """(R,): ordered pairs that are equal in all `values`, those of a copy with itself too."""
    order = np.lexsort(values)
    new = np.any([np.diff(one[order], prepend=np.nan) != 0 for one in values], axis=0)
    copies = np.add.reduceat(counts[:, order], np.flatnonzero(new), axis=1)
    pairs: Floats = np.einsum("rg,rg->r", copies, copies)
    return pairs


def opposite(counts: Floats, x: Floats, y: Floats) -> Floats:
    """(R,): pairs that x and y put in opposite order: in n log n steps, where comparing each two takes n².

    All images stand in the order of y. Parted at the middle of the order of x, one of the higher half is in opposite
    order to those of the lower half that stand after it: a running sum tells how many. Then each half likewise.
    """
    size = 1 << (len(x) - 1).bit_length()
    of_x, of_y = np.lexsort([y, x]), np.lexsort([x, y])  # ties are in no order, so the other decides
    place = np.arange(size)  # of x, in the order of y; beyond the images are none
    place[np.argsort(of_y)[of_x]] = np.arange(len(x))
    here = np.zeros((len(counts), size))
    here[:, : len(x)] = counts[:, of_y]
    found = np.zeros(len(counts))
    while size > 1:
        higher = (place & (size // 2)) > 0
        parts = len(place) // size
        lower = np.where(higher, 0, here).reshape(len(counts), parts, size)
        before = np.cumsum(lower, axis=2)
        after = before[:, :, -1:] - before
        found += np.einsum("rn,rn->r", np.where(higher, here, 0), after.reshape(here.shape))
        halves = np.argsort(higher.reshape(parts, size), axis=1, kind="stable") + size * np.arange(parts)[:, None]
        place, here = place[halves.ravel()], here[:, halves.ravel()]
        size //= 2
    return found
