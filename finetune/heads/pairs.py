"""The rank loss of many images without their pairs: in time and memory that grow with the images alone.

n validation images have n²/2 pairs: 5,000,000,000 for 100,000. But softplus(p_j - p_i) is smooth, and over the range
of the predictions a short sum of products of Chebyshev polynomials, one of p_i and one of p_j, is as good as equal to
it (Trefethen, Approximation Theory and Approximation Practice, 2013, chapter 8: the error falls geometrically, the
faster the farther the poles, at ±πi, lie from the range). With the images sorted by MOS, the sum over all j below i is
then a product of what i has and of a running sum of what those before it have.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DIGITS = 30.0  # the error is exp(-DIGITS), 1e-13, of the largest term
TERMS = 2048  # enough for predictions that span 400 times the MOS's spread: those of a head that has not diverged
BLOCK = 4096  # images at once


def rank_loss(predicted: Floats, mos: Floats) -> float:
    """(N,), (N,) -> the mean of log(1 + exp(p_j - p_i)) over the pairs with y_i > y_j; 0 where there are none."""
    order = np.argsort(mos, kind="stable")
    lowest, highest = predicted.min(), predicted.max()
    half = (highest - lowest) / 2 or 1.0
    p, y = predicted[order] - (lowest + highest) / 2, mos[order]
    begins = np.searchsorted(y, y)  # (N,): how many images have a lower MOS
    if not (pairs := begins.sum()):
        return 0.0

    terms = min(TERMS, 4 + int(np.ceil(DIGITS / np.arcsinh(np.pi / half))))
    kernel = _coefficients(half, terms)
    total, seen = 0.0, np.zeros(terms)  # the sum over the pairs; the sum of the polynomials of all images before
    below = np.zeros((1, terms))
    for first in range(0, len(p), BLOCK):
        polynomials = _chebyshev(p[first : first + BLOCK] / half, terms)  # (B, terms)
        before = seen + np.cumsum(np.vstack([np.zeros(terms), polynomials]), axis=0)  # (B + 1, terms)
        begin = begins[first : first + BLOCK, None] - first  # below 0: this MOS began in the block before
        below = np.where(begin < 0, below[-1], before[np.maximum(begin[:, 0], 0)])
        total += float(((polynomials @ kernel) * below).sum())
        seen = before[-1]
    return total / float(pairs)


def _chebyshev(x: Floats, terms: int) -> Floats:
    """(N,) within -1 and 1 -> (N, terms): cos(k arccos x)."""
    values: Floats = np.cos(np.arccos(np.clip(x, -1, 1))[:, None] * np.arange(terms))
    return values


def _coefficients(half: float, terms: int) -> Floats:
    """(terms, terms): of the polynomials of p_i and of p_j, both from -half to half, in softplus(p_j - p_i)."""
    nodes = np.cos(np.pi * (np.arange(terms) + 0.5) / terms)
    values = np.logaddexp(0, half * (nodes - nodes[:, None]))
    weights = _chebyshev(nodes, terms).T * np.where(np.arange(terms), 2, 1)[:, None] / terms
    coefficients: Floats = weights @ values @ weights.T
    return coefficients
