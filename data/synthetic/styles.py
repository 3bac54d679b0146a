"""From light to picture: tone, and the hand that draws it."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as nn
from torch import Tensor

from data.synthetic.batch import by_value, seed_column
from data.synthetic.colours import grey, to_srgb
from data.synthetic.exact import between, halve, smooth
from data.synthetic.layouts import Layout
from data.synthetic.textures import noise

Style = Callable[[Tensor, Tensor, Tensor], Tensor]  # pictures (n, 3, s, s), their ink (n, 1, s, s), seeds (n, 1, 1)


def develop(layouts: Sequence[Layout], linear: Tensor, surface: Tensor) -> Tensor:
    """Linear, oversampled light (B, 3, 2s, 2s) → a picture (B, 3, s, s) in sRGB 0…1, in its style."""
    linear = 1.5 * linear.clamp_min(0)
    toned = linear * (1 + linear * (1 / 16)) / (1 + linear)  # soft shoulder: white from 4
    picture = halve(to_srgb(toned.clamp(0, 1)))
    ink = halve(_edges(surface))
    seeds = seed_column(layouts, linear.device)
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
    x, y = (v * (2 / picture.shape[-1]) - 1 for v in _pixels(picture))
    return picture * (1 - 0.09 * (x * x + y * y))[:, None]


def _clay(picture: Tensor, _ink: Tensor, seeds: Tensor) -> Tensor:
    x, y = _pixels(picture)
    plain = grey(picture)
    soft = plain + (picture - plain) * 0.86
    return 0.06 + 0.92 * soft + 0.006 * noise("cloud", x * 2, y * 2, seeds)[:, None]


def _watercolour(picture: Tensor, _ink: Tensor, seeds: Tensor) -> Tensor:
    """Wavering edges with pigment gathered along them, washes, paper."""
    x, y = _pixels(picture)
    size = picture.shape[-1]
    wave = [noise("cloud", x * 1.6 + move, y * 1.6, seeds) * 1.7 for move in (0, 211)]
    painted = _moved(picture, x + wave[0], y + wave[1])
    seventh = torch.full((len(picture), 7), 1 / 7, device=picture.device)
    rim = grey((painted - smooth(nn.pad(painted, (3, 3, 3, 3), "reflect"), seventh)).abs())
    wash = noise("cloud", x * 2.3 + 97, y * 2.3, seeds)[:, None]
    paper = noise("grain", x * 0.8, y * 0.8, seeds)[:, None]
    density = (1 - painted) * (0.86 + 0.1 * wash + 1.4 * rim) * (1 + 0.025 * paper)
    edge = (torch.minimum(torch.minimum(x, size - 1 - x), torch.minimum(y, size - 1 - y)) * (30 / size))[:, None]
    frame = (edge + 0.5 * wash - 0.6).clamp(0, 1)
    sheet = torch.tensor((0.985, 0.975, 0.945), device=picture.device)[:, None, None]
    return sheet - density * sheet * frame


def _moved(picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Pictures whose pixels are those at places x, y (n, s, s), bilinearly; beyond an edge, its reflection."""
    count, colours, size, _ = picture.shape

    def inside(place: Tensor) -> Tensor:
        place = torch.where(place < 0, -place, place)
        return torch.where(place > size - 1, 2 * (size - 1) - place, place).clamp(0, size - 1)

    x, y = inside(x), inside(y)
    left, top = x.floor(), y.floor()
    first = torch.arange(count, device=picture.device)[:, None, None] * size**2
    rows = first + top.long() * size, first + (top.long() + 1).clamp_max(size - 1) * size
    columns = left.long(), (left.long() + 1).clamp_max(size - 1)
    flat = picture.transpose(0, 1).reshape(colours, -1)
    return between(flat, rows, columns, y - top, x - left).transpose(0, 1)


def _comic(picture: Tensor, ink: Tensor, _seeds: Tensor) -> Tensor:
    plain = grey(picture)
    vivid = (plain + (picture - plain) * 1.18).clamp(0, 1)
    return vivid * (1 - 0.9 * ink.clamp(0, 1))


_STYLES: dict[str, Style] = {
    "photograph": _photograph, "clay render": _clay, "watercolour": _watercolour, "comic": _comic,
}  # fmt: skip
