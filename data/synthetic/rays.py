"""The camera: a ray for each of the picture's samples, in square tiles that are traced together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.synthetic.exact import settled, tensor, unit
from data.synthetic.layouts import VIEW, Layout

OVERSAMPLE = 2  # samples along a pixel's edge; `exact.halve` takes them together
TILE = 16  # rays along a tile's edge


@dataclass
class Rays:
    """Camera rays: T tiles of R = TILE² to a picture."""

    eye: Tensor  # (3, B, 1, 1)
    way: Tensor  # (3, B, T, R), unit length


def cast(layouts: Sequence[Layout], size: int, device: torch.device) -> Rays:
    """Rays through the samples of pictures of `size` pixels a side, tile by tile."""
    side = size * OVERSAMPLE
    grid = ((torch.arange(side, device=device) + 0.5) * (2 / side) - 1) * float(settled(VIEW))
    y, x = torch.meshgrid(-grid, grid, indexing="ij")
    tiles = side // TILE
    x, y = (v.reshape(tiles, TILE, tiles, TILE).transpose(1, 2).reshape(1, tiles**2, TILE**2) for v in (x, y))
    values = [(math.cos(v.pitch), math.sin(v.pitch), *v.target, v.distance) for v in layouts]
    cos, sin, tx, ty, distance = tensor(values, device).T[..., None, None]
    way = torch.stack((x + 0 * cos, y * cos - sin, y * sin + cos))
    eye = torch.stack((tx, ty + distance * sin, -distance * cos))
    return Rays(eye, unit(way))


def untile(values: Tensor, size: int) -> Tensor:
    """What rays brought back, as pictures: (C, B, T, R) → (B, C, side, side)."""
    tiles = size * OVERSAMPLE // TILE
    values = values.reshape(len(values), -1, tiles, tiles, TILE, TILE)
    return values.permute(1, 0, 2, 4, 3, 5).reshape(values.shape[1], len(values), tiles * TILE, tiles * TILE)
