"""Noise, and what the grounds look like: all of it computed from coordinates, in linear light."""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.synthetic.colours import blend
from data.synthetic.exact import between, sine, tensor, wrapped

Floats = NDArray[np.float64]
Texture = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # x, z, seeds, how near (0 far, 1 near) → (3, …)
_SIDE = 512  # cells along a noise table's edge


@cache
def noise_table(name: str) -> Floats:
    """A square of tileable noise, zero mean: "cloud" is soft, "grain" has a scale of few cells."""
    rng = np.random.Generator(np.random.PCG64({"cloud": 11, "grain": 12}[name]))
    waves = np.hypot(*np.meshgrid(np.fft.fftfreq(_SIDE) * _SIDE, np.fft.fftfreq(_SIDE) * _SIDE))
    slope = {"cloud": 1 / np.maximum(waves, 3) ** 1.7, "grain": np.exp(-((waves / 130) ** 2)) * np.sqrt(waves)}[name]
    field: Floats = np.fft.ifft2(np.fft.fft2(rng.standard_normal((_SIDE, _SIDE))) * slope).real
    field /= field.std()
    return field


@cache
def _table(name: str, device: torch.device) -> Tensor:
    return tensor(noise_table(name).ravel(), device)


def noise(name: str, x: Tensor, y: Tensor, seeds: Tensor) -> Tensor:
    """Sample a noise table at (x, y) in cells, bilinearly; `seeds` (broadcastable integers) move the origin."""
    x, y = x + (seeds % 509).to(x.dtype), y + (seeds // 509 % 503).to(x.dtype)
    left, top = x.floor(), y.floor()
    across, down = x - left, y - top
    left, top = left.long(), top.long()
    rows = (top & _SIDE - 1) * _SIDE, (top + 1 & _SIDE - 1) * _SIDE
    columns = left & _SIDE - 1, left + 1 & _SIDE - 1
    return between(_table(name, x.device), rows, columns, down, across)


def _grass(x: Tensor, z: Tensor, seeds: Tensor, fade: Tensor) -> Tensor:
    blades = noise("grain", x * 38, z * 30, seeds) * fade
    meadow = noise("cloud", x * 14, z * 14, seeds)
    tone = 0.5 + 0.16 * meadow + 0.2 * blades
    return blend((66, 112, 44), (140, 172, 70), tone)


def _sand(x: Tensor, z: Tensor, seeds: Tensor, fade: Tensor) -> Tensor:
    dunes = noise("cloud", x * 9, z * 16, seeds)
    ripples = sine(7.5 * z + 1.3 * dunes + 1.1 * sine(1.7 * x)) * fade
    return blend((196, 162, 112), (236, 212, 164), 0.5 + 0.16 * dunes + 0.14 * ripples
                + 0.07 * fade * noise("grain", x * 30, z * 30, seeds))  # fmt: skip


def _snow(x: Tensor, z: Tensor, seeds: Tensor, fade: Tensor) -> Tensor:
    drifts = noise("cloud", x * 8, z * 10, seeds)
    crystals = noise("grain", x * 30, z * 30, seeds) * fade
    return blend((206, 218, 236), (248, 250, 253), 0.6 + 0.2 * drifts + 0.05 * crystals)


def _wood(x: Tensor, z: Tensor, seeds: Tensor, fade: Tensor) -> Tensor:
    across = z * (1 / 0.62)
    plank = across.floor()
    shift = plank * 2.37
    along = (x + shift) * (1 / 3.1)
    board = along.floor()
    tint = noise("grain", plank * 37.7, board * 53.3, seeds)
    fibre = noise("cloud", x * 4 + shift * 40, z * 60, seeds)
    gap = torch.minimum(across - plank, 1 - (across - plank)) * 0.62
    end = (along - board) * 3.1
    line = ((gap < 0.018) | (end < 0.03)).to(x.dtype) * fade
    return blend((128, 80, 44), (196, 146, 94), 0.5 + 0.16 * tint + 0.15 * fade * fibre) * (1 - 0.6 * line)[None]


def _tiles(x: Tensor, z: Tensor, seeds: Tensor, fade: Tensor) -> Tensor:
    u, v = x * 1.25 + 0.3, z * 1.25
    check = wrapped(u.floor() + v.floor(), 2)
    rim = torch.minimum(torch.minimum(u - u.floor(), u.ceil() - u), torch.minimum(v - v.floor(), v.ceil() - v))
    line = (rim < 0.025).to(x.dtype) * fade
    stone = noise("cloud", x * 22, z * 22, seeds)
    tone = 0.5 + (check - 0.5) * (0.2 + 0.5 * fade) + 0.06 * stone
    return blend((112, 124, 134), (222, 220, 212), tone) * (1 - 0.35 * line)[None]


GROUND_TEXTURES: dict[str, Texture] = {
    "grass": _grass, "sand": _sand, "snow": _snow, "wood": _wood, "tiles": _tiles,
}  # fmt: skip
