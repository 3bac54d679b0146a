"""Arithmetic that gives the same bits on every machine.

Two things differ between machines. Functions such as exp, sin and pow, and the random numbers drawn through them, have
last bits that belong to the library and to the CPU's vector unit. Sums, means, convolutions and matrix products of
floats depend on the order of their terms, and so on vector width, threads and BLAS. Neither may reach a pixel:

- Per ray and per pixel there are only operations that IEEE 754 defines to the last bit, each rounded by itself:
  + - × ÷ √, comparing, choosing, rounding, the least and the greatest. What else is needed is built from them here.
  For √ torch may ask a library that rounds otherwise on some CPUs, so `root` is taken instead.
- What comes from a function of a library or from a random generator – some hundred numbers a picture, in float64 – is
  `settled` before it meets a ray: rounded to a grid that is far coarser than the bits in doubt.

Thus a ray that just touches an edge touches it everywhere. `tests/data/test_synthetic_exact.py` watches both rules.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Vectors = Tensor | Sequence[Tensor]  # (3, …)
Pair = tuple[Tensor, Tensor]
GRID = 2.0**20  # a millionth; what is drawn is no smaller than a thousandth


def settled(values: ArrayLike) -> NDArray[np.float64]:
    """Round float64 numbers to multiples of 1/GRID, which float32 holds exactly below 16."""
    return np.rint(np.asarray(values, np.float64) * GRID) / GRID + 0.0  # -0 becomes 0


def tensor(values: ArrayLike, device: torch.device) -> Tensor:
    """Numbers of the host, `settled`, as float32 on `device`."""
    return torch.from_numpy(settled(values).astype(np.float32)).to(device)


def dot(one: Vectors, other: Vectors) -> Tensor:
    """Scalar products of vectors."""
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]


def root(values: Tensor) -> Tensor:
    """Square roots to the last bit. On a CPU numpy's: torch takes MKL's, which round each CPU its own way."""
    return torch.from_numpy(np.sqrt(values.numpy())) if values.device.type == "cpu" else values.sqrt()


def unit(vectors: Tensor) -> Tensor:
    """Vectors (3, …) of length 1; of what has no length, nothing."""
    return vectors / root(dot(vectors, vectors).clamp_min(1e-12))


def mix(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """From `one` (share 0) to `other` (share 1); torch.lerp may round once instead of twice."""
    return one + (other - one) * share


def wrapped(values: Tensor, period: float) -> Tensor:
    """Values moved into 0…period by whole periods."""
    return values - (values * (1 / period)).floor() * period


def sine(values: Tensor) -> Tensor:
    """Sines to three digits: a parabola for each half wave, bent a little."""
    turns = values * (0.5 / math.pi)
    turns = turns - turns.round()
    wave = 8 * turns * (1 - 2 * turns.abs())
    return wave * (0.775 + 0.225 * wave.abs())


def mean(values: Tensor) -> Tensor:
    """Mean over the last two axes, which stay as axes of one, to a 4096th: integers have a sum in any order."""
    whole = (values * 4096).round().to(torch.int64).sum((-2, -1), keepdim=True)
    return whole.to(values.dtype) * (1 / (4096 * values.shape[-2] * values.shape[-1]))


def halve(pictures: Tensor) -> Tensor:
    """(…, 2h, 2w) → (…, h, w): the mean of every four neighbours."""
    rows = pictures[..., ::2, :] + pictures[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) * 0.25


def smooth(pictures: Tensor, weights: Tensor) -> Tensor:
    """Weigh neighbours, first along rows and then along columns, term by term.

    (B, C, h + n - 1, w + n - 1) and the weights (B, n) → (B, C, h, w).
    """
    for axis in (3, 2):
        length = pictures.shape[axis] - weights.shape[1] + 1
        terms = (weights[:, k, None, None, None] * pictures.narrow(axis, k, length) for k in range(weights.shape[1]))
        total = next(terms)
        for term in terms:
            total += term
        pictures = total
    return pictures


def between(table: Tensor, rows: Pair, columns: Pair, down: Tensor, across: Tensor) -> Tensor:
    """Read a flat table (…, n) between four of its places, bilinearly.

    `rows` are where the upper and the lower row begin, `columns` the left and the right place in them; `down` and
    `across`, 0 to 1, say how near to the latter of each.
    """
    upper = mix(table[..., rows[0] + columns[0]], table[..., rows[0] + columns[1]], across)
    lower = mix(table[..., rows[1] + columns[0]], table[..., rows[1] + columns[1]], across)
    return mix(upper, lower, down)
