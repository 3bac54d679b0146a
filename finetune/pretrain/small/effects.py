"""What is done to a picture, so that its kind and degree are known: seventeen effects, one strength in 0…1 each.

Strengths grow by ratios, not by steps, as what is seen does. They are effects and no judgements. The order in which
several are applied is that of the table: light and colour, lens, sensor, then what a file format leaves.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

Effect = Callable[[Tensor, Tensor, torch.Generator], Tensor]  # pictures (n, 3, s, s) in 0…1, strengths (n,) in 0…1
TINTS = {
    "red": (0.5, -0.2, -0.3),
    "green": (-0.3, 0.35, -0.3),
    "blue": (-0.35, -0.1, 0.5),
    "pink": (0.35, -0.35, 0.35),
    "yellow": (0.3, 0.2, -0.5),
}
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def apply(pictures: Tensor, strengths: Mapping[str, Tensor], dice: torch.Generator) -> Tensor:
    """(B, 3, s, s) in 0…1 and, by effect, strengths (B,), 0 where it is not wanted -> (B, 3, s, s) in 0…1."""
    pictures = pictures.clone()
    for name, effect in EFFECTS.items():
        strength = strengths[name]
        chosen = strength.nonzero()[:, 0]
        if len(chosen):
            pictures[chosen] = effect(pictures[chosen], strength[chosen], dice).clamp(0, 1)
    return pictures


def _between(low: float, high: float, strength: Tensor) -> Tensor:
    """From `low` to `high` by ratios: (n,) -> (n, 1, 1, 1)."""
    return (low * (high / low) ** strength)[:, None, None, None]


def _grey(pictures: Tensor) -> Tensor:
    """(n, 3, s, s) -> (n, 1, s, s)."""
    grey: Tensor = torch.einsum("ncyx,c->nyx", pictures, pictures.new_tensor(LUMA))
    return grey[:, None]


def overexposure(pictures: Tensor, strength: Tensor, _dice: torch.Generator) -> Tensor:
    return pictures * _between(1.25, 3.2, strength)


def underexposure(pictures: Tensor, strength: Tensor, _dice: torch.Generator) -> Tensor:
    return pictures * _between(0.65, 0.12, strength)


def low_contrast(pictures: Tensor, strength: Tensor, _dice: torch.Generator) -> Tensor:
    middle = 0.3 + 0.4 * pictures.mean((1, 2, 3), keepdim=True)
    return middle + (pictures - middle) * _between(0.7, 0.2, strength)


def pale_colours(pictures: Tensor, strength: Tensor, _dice: torch.Generator) -> Tensor:
    grey = _grey(pictures)
    return grey + (pictures - grey) * (0.6 * (1 - strength))[:, None, None, None]


def vivid_colours(pictures: Tensor, strength: Tensor, _dice: torch.Generator) -> Tensor:
    grey = _grey(pictures)
    return grey + (pictures - grey) * _between(1.5, 4.0, strength)


def tint(colour: str) -> Effect:
    """All colours pulled to one side."""

    def effect(pictures: Tensor, strength: Tensor, _dice: torch.Generator) -> Tensor:
        pull = pictures.new_tensor(TINTS[colour])[None, :, None, None]
        return pictures + pull * _between(0.12, 0.7, strength) * (0.4 + 0.6 * _grey(pictures))

    return effect


def _smoothed(pictures: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """A Gaussian of each picture's own width: (n, 3, s, s), (n, 1, 1, 1)."""
    at = torch.arange(-reach, reach + 1, device=pictures.device)
    weights = (-0.5 * (at / sigma[:, :, 0]).square()).exp()  # (n, 1, 2 * reach + 1)
    weights = (weights / weights.sum(-1, keepdim=True)).repeat_interleave(3, 0)[:, :, None]  # (3 n, 1, 1, …)
    planes = F.pad(pictures, (reach,) * 4, "replicate").flatten(0, 1)[None]  # (1, 3 n, …)
    planes = F.conv2d(F.conv2d(planes, weights, groups=len(weights)), weights.transpose(2, 3), groups=len(weights))
    smoothed: Tensor = planes[0].unflatten(0, (-1, 3))
    return smoothed


def blur(pictures: Tensor, strength: Tensor, _dice: torch.Generator) -> Tensor:
    return _smoothed(pictures, _between(0.9, 6.0, strength), 18)


def motion_blur(pictures: Tensor, strength: Tensor, dice: torch.Generator) -> Tensor:
    """Smeared along a line, 5 to 31 px long, of any direction."""
    reach, many = 16, len(pictures)
    angle = torch.rand(many, 1, 1, generator=dice, device=pictures.device) * math.pi
    at = torch.arange(-reach, reach + 1, device=pictures.device, dtype=pictures.dtype)
    along = at[None, None, :] * angle.cos() + at[None, :, None] * angle.sin()  # (n, k, k)
    across = at[None, :, None] * angle.cos() - at[None, None, :] * angle.sin()
    half = _between(2.5, 15.5, strength)[:, 0]  # (n, 1, 1)
    kernel = (1 - across.abs()).clamp(min=0) * (half + 0.5 - along.abs()).clamp(0, 1)
    kernel = (kernel / kernel.sum((1, 2), keepdim=True)).repeat_interleave(3, 0)[:, None]  # (3 n, 1, k, k)
    planes = F.pad(pictures, (reach,) * 4, "replicate").flatten(0, 1)[None]
    smeared: Tensor = F.conv2d(planes, kernel, groups=len(kernel))[0].unflatten(0, (-1, 3))
    return smeared


def upscaling(pictures: Tensor, strength: Tensor, _dice: torch.Generator) -> Tensor:
    """Every second to every sixth pixel, enlarged again."""
    side, grown = pictures.shape[-1], torch.empty_like(pictures)
    factors = _between(1.6, 6.5, strength)[:, 0, 0, 0]
    for row, factor in enumerate(factors.tolist()):
        few = F.interpolate(pictures[row : row + 1], size=round(side / factor), mode="nearest")
        grown[row] = F.interpolate(few, size=side, mode="bicubic", align_corners=False)[0]
    return grown


def halos(pictures: Tensor, strength: Tensor, _dice: torch.Generator) -> Tensor:
    """Sharpened too far: an unsharp mask of 1 to 8 times the detail."""
    width = torch.full_like(strength, 1.6)[:, None, None, None]
    return pictures + (pictures - _smoothed(pictures, width, 6)) * _between(1.0, 8.0, strength)


def noise(pictures: Tensor, strength: Tensor, dice: torch.Generator) -> Tensor:
    """Mostly of brightness, partly of colour, in grains of one pixel."""
    drawn = torch.randn(len(pictures), 4, *pictures.shape[2:], generator=dice, device=pictures.device)
    mixed = 0.75 * drawn[:, :1] + 0.65 * drawn[:, 1:]
    return pictures + mixed * _between(0.025, 0.28, strength)


def banding(pictures: Tensor, strength: Tensor, _dice: torch.Generator) -> Tensor:
    levels = _between(16, 3, strength)
    return (pictures * levels).round() / levels


_EIGHT = torch.arange(8)
_WAVES = torch.cos(math.pi / 8 * (_EIGHT + 0.5) * _EIGHT[:, None]) * torch.where(_EIGHT > 0, 0.5, 8**-0.5)[:, None]
# The tables of ITU-T T.81, annex K, of brightness and of colour, for quality 50.
_BRIGHTNESS = torch.tensor([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
]) / 255  # fmt: skip
_COLOUR = torch.full((8, 8), 99.0)
_COLOUR[:4, :4] = torch.tensor([[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]])
_COLOUR /= 255


def blocks(pictures: Tensor, strength: Tensor, _dice: torch.Generator) -> Tensor:
    """JPEG's 8 × 8 blocks with ever fewer frequencies, colours at half the size. The side is a multiple of 16."""
    grey = _grey(pictures)
    colours = (pictures - grey)[:, ::2]  # (n, 2, s, s): red and blue against grey
    coarse = _between(1.3, 14.0, strength)
    grey = _quantised(grey, _BRIGHTNESS, coarse)
    few = _quantised(F.avg_pool2d(colours, 2), _COLOUR, coarse)
    red, blue = F.interpolate(few, scale_factor=2, mode="nearest").unbind(1)
    plain = grey[:, 0]
    green = -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1]
    return torch.stack([plain + red, plain + green, plain + blue], 1)


def _quantised(planes: Tensor, table: Tensor, coarse: Tensor) -> Tensor:
    """(n, c, s, s) with the frequencies of each block rounded to multiples of `table` * `coarse`."""
    waves = _WAVES.to(planes)
    tiles = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8))  # (n, c, s / 8, 8, s / 8, 8)
    step = table.to(planes)[None, None, None, :, None] * coarse[..., None, None]
    kept = (torch.einsum("uy,ncaybx,vx->ncaubv", waves, tiles, waves) / step).round() * step
    return torch.einsum("uy,ncaubv,vx->ncaybx", waves, kept, waves).flatten(4).flatten(2, 3)


EFFECTS: dict[str, Effect] = {
    "overexposure": overexposure,
    "underexposure": underexposure,
    "low contrast": low_contrast,
    "pale colours": pale_colours,
    "vivid colours": vivid_colours,
    **{f"{colour} tint": tint(colour) for colour in TINTS},
    "blur": blur,
    "motion blur": motion_blur,
    "upscaling": upscaling,
    "halos": halos,
    "noise": noise,
    "banding": banding,
    "blocks": blocks,
}
