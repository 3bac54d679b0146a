"""What can be done to a finished picture: one strength in 0…1 each, many pictures at once.

They are *effects*, not judgements: in the data set they are the faults of a generator, in pretraining they are
styles that a caption names ("in soft focus", "as a pixel mosaic").
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as nn
from torch import Tensor


def apply(pictures: Tensor, wanted: Sequence[tuple[tuple[str, float], ...]], seeds: Sequence[int]) -> Tensor:
    """Apply each picture's filters to (B, 3, s, s) in 0…1, in the order of `FILTERS`, whatever order they come in."""
    pictures = pictures.clamp(0, 1)
    for name, effect in FILTERS.items():
        strength = [sum(value for key, value in filters if key == name) for filters in wanted]
        chosen = [i for i, value in enumerate(strength) if value > 0]
        if chosen:
            at = torch.tensor(chosen, device=pictures.device)
            power = torch.tensor([strength[i] for i in chosen], device=pictures.device)[:, None, None, None]
            seed = torch.tensor([seeds[i] for i in chosen], device=pictures.device)[:, None, None]
            pictures[at] = effect(pictures[at], power, seed).clamp(0, 1)
    return pictures


def blur(pictures: Tensor, power: Tensor, _seed: Tensor) -> Tensor:
    """A Gaussian, 0.5 to 4 pixels of 192."""
    count, _, _, size = pictures.shape
    sigma = (0.5 + 3.5 * power[:, 0, 0]) * size / 192
    reach = max(1, math.ceil(10 * size / 192))
    x = torch.arange(-reach, reach + 1, device=pictures.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None]
    flat = nn.pad(pictures, (reach,) * 4, "replicate").reshape(1, count * 3, size + 2 * reach, -1)
    flat = nn.conv2d(flat, kernel[..., None], groups=count * 3)
    return nn.conv2d(flat, kernel[..., None, :], groups=count * 3).reshape(pictures.shape)


def low_contrast(pictures: Tensor, power: Tensor, _seed: Tensor) -> Tensor:
    """Towards a flat grey."""
    return 0.5 + (pictures - 0.5) * (1 - 0.8 * power) + 0.08 * power


_TINTS = ((0.42, -0.2, -0.34), (-0.3, 0.34, -0.3), (-0.34, -0.12, 0.42), (0.3, -0.34, 0.3), (0.3, 0.2, -0.42))
TINT_NAMES = ("red", "green", "blue", "pink", "yellow")


def colour_cast(pictures: Tensor, power: Tensor, seed: Tensor) -> Tensor:
    """All colours pulled to one side; the seed says to which."""
    tint = torch.tensor(_TINTS, device=pictures.device)[seed[:, 0, 0] % len(_TINTS)][..., None, None]
    grey = pictures.mean(1, keepdim=True)
    return pictures + (grey - pictures) * 0.3 * power + tint * power * (0.3 + grey * (1 - grey) * 1.7)


def tint_name(seed: int) -> str:
    """The side to which `colour_cast` pulls."""
    return TINT_NAMES[seed % len(_TINTS)]


def grain(pictures: Tensor, power: Tensor, seed: Tensor) -> Tensor:
    """Noise, mostly of brightness, partly of colour."""
    side = torch.arange(pictures.shape[-1], device=pictures.device)
    fields = []
    for shift in range(4):
        draw = (seed * 31 + shift * 7919) & 0x3FFFFFFF
        code = (side[None, :, None] * 73856093) ^ (side[None, None, :] * 19349663) ^ draw
        for _ in range(3):
            code = ((code ^ (code >> 15)) * 0x2C1B3C6D) & 0x7FFFFFFF
            code = ((code ^ (code >> 12)) * 0x297A2D39) & 0x7FFFFFFF
        fields.append(((code & 0xFFFF) + (code >> 15 & 0xFFFF)).to(torch.float32) / 0xFFFF - 1)
    mixed = torch.stack([0.8 * fields[0] + 0.6 * field for field in fields[1:]], 1)
    return pictures + mixed * 2.4 * (0.015 + 0.15 * power)


def banding(pictures: Tensor, power: Tensor, _seed: Tensor) -> Tensor:
    """Few levels of brightness and colour: steps where there were gradients."""
    levels = 28 * (3.0 / 28) ** power
    stepped = (pictures * levels + 0.5).floor() / levels
    return pictures + (stepped - pictures) * (power * 5).clamp(0, 1)


_SCALE = torch.tensor([[16 + 5.2 * (u + v) ** 1.15 for u in range(8)] for v in range(8)])


def blocks(pictures: Tensor, power: Tensor, _seed: Tensor) -> Tensor:
    """Blocks of 8 × 8 pixels with few frequencies left, as strong JPEG compression leaves them."""
    count, _, height, width = pictures.shape
    k = torch.arange(8, device=pictures.device, dtype=torch.float32)
    basis = torch.cos(math.pi / 8 * (k[None] + 0.5) * k[:, None]) * 0.5
    basis[0] /= math.sqrt(2)
    tiled = pictures.reshape(count, 3, height // 8, 8, width // 8, 8).transpose(3, 4) - 0.5
    spectrum = basis @ tiled @ basis.T
    step = _SCALE.to(pictures.device) / 255 * (0.8 + 9.5 * power**1.3)[..., None, None]
    kept = torch.round(spectrum / step) * step
    return (basis.T @ kept @ basis).transpose(3, 4).reshape(pictures.shape) + 0.5


FILTERS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "blur": blur, "low contrast": low_contrast, "colour cast": colour_cast, "grain": grain, "banding": banding,
    "blocks": blocks,
}  # fmt: skip
