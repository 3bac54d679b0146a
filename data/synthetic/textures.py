"""Noise, and what the grounds look like: all of it computed from coordinates, in linear light."""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor


def to_linear(srgb: ArrayLike) -> np.ndarray:
    """Linear values, 0 to 1, of sRGB ones, 0 to 255."""
    return (np.asarray(srgb, np.float64) / 255) ** 2.2


@cache
def _table(name: str, device: torch.device) -> Tensor:
    """A square of tileable noise, 512 wide, zero mean: "cloud" is soft, "grain" has a scale of few cells."""
    rng = np.random.Generator(np.random.PCG64({"cloud": 11, "grain": 12}[name]))
    waves = np.hypot(*np.meshgrid(np.fft.fftfreq(512) * 512, np.fft.fftfreq(512) * 512))
    slope = {"cloud": 1 / np.maximum(waves, 3) ** 1.7, "grain": np.exp(-((waves / 130) ** 2)) * np.sqrt(waves)}[name]
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((512, 512))) * slope).real
    return torch.from_numpy((field / field.std()).astype(np.float32).ravel()).to(device)


def noise(name: str, x: Tensor, y: Tensor, seeds: Tensor) -> Tensor:
    """Sample a noise table at (x, y) in cells, bilinearly; `seeds` (broadcastable integers) move the origin."""
    table = _table(name, x.device)
    x, y = x + (seeds % 509).to(x.dtype), y + (seeds // 509 % 503).to(x.dtype)
    left, top = x.floor(), y.floor()
    fx, fy = x - left, y - top
    left, top = left.long(), top.long()
    rows = (top & 511) << 9, ((top + 1) & 511) << 9
    columns = left & 511, (left + 1) & 511
    upper = torch.lerp(table[rows[0] + columns[0]], table[rows[0] + columns[1]], fx)
    lower = torch.lerp(table[rows[1] + columns[0]], table[rows[1] + columns[1]], fx)
    return torch.lerp(upper, lower, fy)


def _grass(x: Tensor, z: Tensor, seeds: Tensor, fade: Tensor) -> Tensor:
    blades = noise("grain", x * 38, z * 30, seeds) * fade
    meadow = noise("cloud", x * 14, z * 14, seeds)
    tone = 0.5 + 0.16 * meadow + 0.2 * blades
    return _mix((66, 112, 44), (140, 172, 70), tone)


def _sand(x: Tensor, z: Tensor, seeds: Tensor, fade: Tensor) -> Tensor:
    dunes = noise("cloud", x * 9, z * 16, seeds)
    ripples = torch.sin(7.5 * z + 1.3 * dunes + 1.1 * torch.sin(1.7 * x)) * fade
    return _mix((196, 162, 112), (236, 212, 164), 0.5 + 0.16 * dunes + 0.14 * ripples
                + 0.07 * fade * noise("grain", x * 30, z * 30, seeds))  # fmt: skip


def _snow(x: Tensor, z: Tensor, seeds: Tensor, fade: Tensor) -> Tensor:
    drifts = noise("cloud", x * 8, z * 10, seeds)
    crystals = noise("grain", x * 30, z * 30, seeds) * fade
    return _mix((206, 218, 236), (248, 250, 253), 0.6 + 0.2 * drifts + 0.05 * crystals)


def _wood(x: Tensor, z: Tensor, seeds: Tensor, fade: Tensor) -> Tensor:
    plank = (z / 0.62).floor()
    shift = plank * 2.37
    board = ((x + shift) / 3.1).floor()
    tint = noise("grain", plank * 37.7, board * 53.3, seeds)
    fibre = noise("cloud", x * 4 + shift * 40, z * 60, seeds)
    gap = torch.minimum((z / 0.62 - plank), 1 - (z / 0.62 - plank)) * 0.62
    end = ((x + shift) / 3.1 - board) * 3.1
    line = ((gap < 0.018) | (end < 0.03)).to(x.dtype) * fade
    return _mix((128, 80, 44), (196, 146, 94), 0.5 + 0.16 * tint + 0.15 * fade * fibre) * (1 - 0.6 * line)[None]


def _tiles(x: Tensor, z: Tensor, seeds: Tensor, fade: Tensor) -> Tensor:
    u, v = x / 0.8 + 0.3, z / 0.8
    check = (u.floor() + v.floor()) % 2
    rim = torch.minimum(torch.minimum(u - u.floor(), u.ceil() - u), torch.minimum(v - v.floor(), v.ceil() - v))
    line = (rim < 0.025).to(x.dtype) * fade
    stone = noise("cloud", x * 22, z * 22, seeds)
    tone = 0.5 + (check - 0.5) * (0.2 + 0.5 * fade) + 0.06 * stone
    return _mix((112, 124, 134), (222, 220, 212), tone) * (1 - 0.35 * line)[None]


GROUND_TEXTURES: dict[str, Callable[..., Tensor]] = {
    "grass": _grass, "sand": _sand, "snow": _snow, "wood": _wood, "tiles": _tiles,
}  # fmt: skip


def _mix(dark: tuple[int, int, int], light: tuple[int, int, int], tone: Tensor) -> Tensor:
    """(3, …) linear colours between two sRGB ones."""
    tone = tone.clamp(0, 1)
    ends = zip(to_linear(dark).tolist(), to_linear(light).tolist(), strict=True)
    return torch.stack([low + (high - low) * tone for low, high in ends])
