"""Layouts as pixels: many at once, the same code on a CPU and on a GPU, the same bits on every machine (`exact`)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from data.synthetic import filters, rays, styles
from data.synthetic.layouts import Layout
from data.synthetic.pack import pack
from data.synthetic.paint import shade
from data.synthetic.trace import trace


def render(layouts: Sequence[Layout], size: int = 192, device: str | torch.device = "cpu", chunk: int = 0) -> Tensor:
    """Draw `layouts` as uint8 (B, size, size, 3) on `device`, `chunk` of them at a time (0: what suits the device)."""
    device = torch.device(device)
    chunk = chunk or (2 if device.type == "cpu" else 128)
    if size * rays.OVERSAMPLE % rays.TILE:
        raise ValueError(f"size must be a multiple of {rays.TILE // rays.OVERSAMPLE}, not {size}")
    with torch.inference_mode():
        parts = [_to_bytes(draw(layouts[i : i + chunk], size, device)) for i in range(0, len(layouts), chunk)]
    return torch.cat(parts) if parts else torch.zeros(0, size, size, 3, dtype=torch.uint8, device=device)


def draw(layouts: Sequence[Layout], size: int, device: torch.device) -> Tensor:
    """Draw `layouts`, all at once, as float32 (B, 3, size, size) in 0…1."""
    scene = pack(layouts, device)
    cast = rays.cast(layouts, size, device)
    linear, surface = shade(layouts, scene, cast, trace(scene, cast))
    picture = styles.develop(layouts, rays.untile(linear, size), rays.untile(surface, size))
    wanted, seeds = [layout.filters for layout in layouts], [layout.seed for layout in layouts]
    return filters.apply(picture, wanted, seeds).clamp(0, 1)


def _to_bytes(pictures: Tensor) -> Tensor:
    """(B, 3, s, s) in 0…1 → uint8 (B, s, s, 3)."""
    return (pictures * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
