"""What can be done to a finished picture: one strength in 0…1 each, many pictures at once.

They are *effects*, not judgements: in the data set they are the faults of a generator, in pretraining they are
styles that a caption names ("in soft focus", "as a pixel mosaic").
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as nn
from torch import Tensor

from data.synthetic.batch import column
from data.synthetic.colours import grey
from data.synthetic.exact import smooth, tensor
from data.synthetic.layouts import Filter

Effect = Callable[[Tensor, Sequence[float], Tensor], Tensor]  # pictures (n, 3, s, s), strengths, seeds (n, 1, 1)


def apply(pictures: Tensor, wanted: Sequence[Sequence[Filter]], seeds: Sequence[int]) -> Tensor:
    """Apply each picture's filters to (B, 3, s, s) in 0…1, in the order of `FILTERS`, whatever order they come in."""
    pictures = pictures.clamp(0, 1)
    for name, effect in FILTERS.items():
        strength = [sum(value for key, value in filters if key == name) for filters in wanted]
        chosen = [i for i, value in enumerate(strength) if value > 0]
        if chosen:
            at = torch.tensor(chosen, device=pictures.device)
            power = [strength[i] for i in chosen]
            seed = torch.tensor([seeds[i] for i in chosen], device=pictures.device)[:, None, None]
            pictures[at] = effect(pictures[at], power, seed).clamp(0, 1)
    return pictures


def _each(values: Sequence[float], device: torch.device) -> Tensor:
    """One number a picture, as (n, 1, 1, 1)."""
    return column(values, device)[:, None]


def blur(pictures: Tensor, power: Sequence[float], _seed: Tensor) -> Tensor:
    """A Gaussian, 0.5 to 4 pixels of 192."""
    size = pictures.shape[-1]
    sigma = (0.5 + 3.5 * np.array(power)[:, None]) * size / 192
    reach = max(1, math.ceil(10 * size / 192))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return smooth(nn.pad(pictures, (reach,) * 4, "replicate"), tensor(weights, pictures.device))


def low_contrast(pictures: Tensor, power: Sequence[float], _seed: Tensor) -> Tensor:
    """Towards a flat grey."""
    weight = _each(power, pictures.device)
    return 0.5 + (pictures - 0.5) * (1 - 0.8 * weight) + 0.08 * weight


_TINTS = ((0.42, -0.2, -0.34), (-0.3, 0.34, -0.3), (-0.34, -0.12, 0.42), (0.3, -0.34, 0.3), (0.3, 0.2, -0.42))
TINT_NAMES = ("red", "green", "blue", "pink", "yellow")


def colour_cast(pictures: Tensor, power: Sequence[float], seed: Tensor) -> Tensor:
    """All colours pulled to one side; the seed says to which."""
    weight = _each(power, pictures.device)
    tint = tensor(_TINTS, pictures.device)[seed[:, 0, 0] % len(_TINTS)][..., None, None]
    plain = grey(pictures)
    return pictures + (plain - pictures) * 0.3 * weight + tint * weight * (0.3 + plain * (1 - plain) * 1.7)


def tint_name(seed: int) -> str:
    """The side to which `colour_cast` pulls."""
    return TINT_NAMES[seed % len(_TINTS)]


def grain(pictures: Tensor, power: Sequence[float], seed: Tensor) -> Tensor:
    """Noise, mostly of brightness, partly of colour."""
    side = torch.arange(pictures.shape[-1], device=pictures.device)
    fields = []
    for shift in range(4):
        draw = (seed * 31 + shift * 7919) & 0x3FFFFFFF
        code = (side[None, :, None] * 73856093) ^ (side[None, None, :] * 19349663) ^ draw
        for _ in range(3):
            code = ((code ^ (code >> 15)) * 0x2C1B3C6D) & 0x7FFFFFFF
            code = ((code ^ (code >> 12)) * 0x297A2D39) & 0x7FFFFFFF
        fields.append(((code & 0xFFFF) + (code >> 15 & 0xFFFF)).to(pictures.dtype) * (1 / 0xFFFF) - 1)
    mixed = torch.stack([0.8 * fields[0] + 0.6 * field for field in fields[1:]], 1)
    return pictures + mixed * 2.4 * (0.015 + 0.15 * _each(power, pictures.device))


def banding(pictures: Tensor, power: Sequence[float], _seed: Tensor) -> Tensor:
    """Few levels of brightness and colour: steps where there were gradients."""
    levels = _each([28 * (3 / 28) ** value for value in power], pictures.device)
    stepped = (pictures * levels + 0.5).floor() / levels
    return pictures + (stepped - pictures) * (_each(power, pictures.device) * 5).clamp(0, 1)


_EIGHT = np.arange(8)
_WAVES = np.cos(math.pi / 8 * (_EIGHT + 0.5) * _EIGHT[:, None]) * np.where(_EIGHT, 0.5, 8**-0.5)[:, None]  # the DCT
_STEPS = (16 + 5.2 * np.add.outer(_EIGHT, _EIGHT) ** 1.15) / 255


def blocks(pictures: Tensor, power: Sequence[float], _seed: Tensor) -> Tensor:
    """Blocks of 8 × 8 pixels with few frequencies left, as strong JPEG compression leaves them."""
    count, colours, height, width = pictures.shape
    waves = tensor(_WAVES, pictures.device)
    tiled = pictures.reshape(count, colours, height // 8, 8, width // 8, 8).permute(3, 5, 0, 1, 2, 4).contiguous()
    coarse = np.multiply.outer(_STEPS, [0.8 + 9.5 * value**1.3 for value in power])
    step = tensor(coarse, pictures.device)[..., None, None, None]  # (8, 8, n, 1, 1, 1)
    kept = torch.round(_transformed(tiled - 0.5, waves) / step) * step
    return _transformed(kept, waves.T).permute(2, 3, 4, 0, 5, 1).reshape(pictures.shape) + 0.5


def _transformed(tiled: Tensor, matrix: Tensor) -> Tensor:
    """Matrix (8, 8) times blocks (8, 8, …) times the matrix turned over, term by term."""
    for _ in range(2):
        total = torch.zeros_like(tiled)
        for k in range(8):
            total += matrix[:, k].reshape(8, 1, *[1] * (tiled.dim() - 2)) * tiled[k]
        tiled = total.transpose(0, 1)
    return tiled


FILTERS: dict[str, Effect] = {
    "blur": blur, "low contrast": low_contrast, "colour cast": colour_cast, "grain": grain, "banding": banding,
    "blocks": blocks,
}  # fmt: skip
