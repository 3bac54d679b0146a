"""sRGB, in which pictures are kept, and linear light, in which they are painted."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from data.synthetic.exact import mix, root, settled, tensor

Colour = Sequence[float]  # red, green and blue, sRGB, 0 to 255


def to_linear(srgb: ArrayLike) -> NDArray[np.float64]:
    """Linear values, 0 to 1, of sRGB ones, 0 to 255."""
    return settled((np.asarray(srgb, np.float64) / 255) ** 2.2)


def to_srgb(linear: Tensor) -> Tensor:
    """Values of sRGB, 0 to 1, of linear ones: to the power of 29/64, which is near 1/2.2 and takes roots alone."""
    fourth = root(root(linear))
    eighth = root(fourth)
    sixteenth = root(eighth)
    return fourth * eighth * sixteenth * root(root(sixteenth))


def grey(pictures: Tensor) -> Tensor:
    """(B, 3, …) → (B, 1, …): the mean of the three colours."""
    return (pictures[:, :1] + pictures[:, 1:2] + pictures[:, 2:]) * (1 / 3)


def blend(dark: Colour, light: Colour, tone: Tensor) -> Tensor:
    """(3, …) linear light between two colours; `tone` is 0 at the dark one and 1 at the light one."""
    ends = tensor(to_linear((dark, light)), tone.device)[..., *[None] * tone.dim()]
    return mix(ends[0], ends[1], tone.clamp(0, 1))
