"""From light to picture: tone, and the hand that draws it."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as nn
from torch import Tensor

from data.synthetic.layouts import Layout
from data.synthetic.paint import by_value
from data.synthetic.textures import noise


def develop(layouts: Sequence[Layout], linear: Tensor, surface: Tensor) -> Tensor:
    """Linear, oversampled light (B, 3, 2s, 2s) → a picture (B, 3, s, s) in sRGB 0…1, in its style."""
    linear = linear.clamp_min(0)
    linear = 1.5 * linear
    toned = (linear * (1 + linear / 16) / (1 + linear)).clamp(0, 1) ** (1 / 2.2)  # soft shoulder: white from 4
    ink = nn.avg_pool2d(_edges(surface), 2)
    picture = nn.avg_pool2d(toned, 2)
    seeds = torch.tensor([layout.seed for layout in layouts], device=linear.device)[:, None, None]
    for name, pictures in by_value(layouts, lambda layout: layout.style, linear.device):
        picture[pictures] = _STYLES[name](picture[pictures], ink[pictures], seeds[pictures])
    return picture


def _edges(surface: Tensor) -> Tensor:
    """1 where neighbouring samples belong to different surfaces, two samples wide."""
    across = nn.pad((surface[..., 1:] != surface[..., :-1]).to(torch.float32), (0, 1))
    down = nn.pad((surface[..., 1:, :] != surface[..., :-1, :]).to(torch.float32), (0, 0, 0, 1))
    return nn.max_pool2d(torch.maximum(across, down), 3, 1, 1)


def _pixels(picture: Tensor) -> tuple[Tensor, Tensor]:
    side = torch.arange(picture.shape[-1], device=picture.device, dtype=torch.float32)
    y, x = torch.meshgrid(side, side, indexing="ij")
    return x[None], y[None]


def _photograph(picture: Tensor, _ink: Tensor, _seeds: Tensor) -> Tensor:
    x, y = (v / picture.shape[-1] * 2 - 1 for v in _pixels(picture))
    return picture * (1 - 0.09 * (x * x + y * y))[:, None]


def _clay(picture: Tensor, _ink: Tensor, seeds: Tensor) -> Tensor:
    x, y = _pixels(picture)
    grey = picture.mean(1, keepdim=True)
    soft = grey + (picture - grey) * 0.86
    return 0.06 + 0.92 * soft + 0.006 * noise("cloud", x * 2, y * 2, seeds)[:, None]


def _watercolour(picture: Tensor, _ink: Tensor, seeds: Tensor) -> Tensor:
    """Wavering edges with pigment gathered along them, washes, paper."""
    x, y = _pixels(picture)
    size = picture.shape[-1]
    wave = [noise("cloud", x * 1.6 + move, y * 1.6, seeds) * 1.7 for move in (0, 211)]
    grid = torch.stack(((x + wave[0] + 0.5) / size * 2 - 1, (y + wave[1] + 0.5) / size * 2 - 1), -1)
    painted = nn.grid_sample(picture, grid, padding_mode="reflection", align_corners=False)
    soft = nn.avg_pool2d(nn.pad(painted, (3, 3, 3, 3), "reflect"), 7, 1)
    rim = (painted - soft).abs().mean(1, keepdim=True)
    wash = noise("cloud", x * 2.3 + 97, y * 2.3, seeds)[:, None]
    paper = noise("grain", x * 0.8, y * 0.8, seeds)[:, None]
    density = (1 - painted) * (0.86 + 0.1 * wash + 1.4 * rim) * (1 + 0.025 * paper)
    edge = (torch.minimum(torch.minimum(x, size - 1 - x), torch.minimum(y, size - 1 - y)) / size * 30)[:, None]
    frame = (edge + 0.5 * wash - 0.6).clamp(0, 1)
    sheet = torch.tensor((0.985, 0.975, 0.945), device=picture.device)[:, None, None]
    return sheet - density * sheet * frame


def _comic(picture: Tensor, ink: Tensor, _seeds: Tensor) -> Tensor:
    grey = picture.mean(1, keepdim=True)
    vivid = (grey + (picture - grey) * 1.18).clamp(0, 1)
    return vivid * (1 - 0.9 * ink.clamp(0, 1))


_STYLES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "photograph": _photograph, "clay render": _clay, "watercolour": _watercolour, "comic": _comic,
}  # fmt: skip
