"""Plain facts of a view that can be measured: its shape, its colours, where it is brightest, how much detail it has."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

COLOURS = ("black", "grey", "white", "red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown")
HUES = (  # degrees up to which a hue has the name
    (15, "red"), (42, "orange"), (68, "yellow"), (165, "green"), (198, "cyan"), (260, "blue"), (290, "purple"),
    (335, "pink"), (361, "red"),
)  # fmt: skip
SIDES = ("at the top", "at the bottom", "on the left", "on the right")
EVEN = "nowhere more than elsewhere"
DETAIL = {"hardly any": 0.010, "little": 0.022, "some": 0.040, "much": float("inf")}  # mean step between neighbours
SHAPES = {"tall": 0.9, "square": 1.1, "wide": float("inf")}  # width over height
SHARE = 0.22  # of the picture, for a colour to be named
BRIGHTER = 0.09  # than the other half
CELL = 8  # px, over which colours are averaged


class Sight(NamedTuple):
    """What is to be seen of a view, whatever it shows."""

    shape: str
    colours: tuple[str, ...]  # one to three, the commonest first
    brightest: str
    detail: str


def measure(images: Tensor, inside: Tensor) -> list[Sight]:
    """(B, s, s, 3) uint8 and (B, s, s) bool -> what is seen of each."""
    pixels, there = images.permute(0, 3, 1, 2).float() / 255, inside[:, None].float()
    colours = _shares(pixels, there)
    bright = pixels.mean(1, keepdim=True)
    side = bright.shape[-1] // 2
    halves = [(slice(None, side), slice(None)), (slice(side, None), slice(None)),
              (slice(None), slice(None, side)), (slice(None), slice(side, None))]  # fmt: skip
    means = torch.stack([_mean(bright[:, :, y, x], there[:, :, y, x]) for y, x in halves], 1)  # (B, 4)
    ahead = means - means[:, [1, 0, 3, 2]]
    across = (bright.diff(dim=3).abs() * there[..., 1:]).sum((1, 2, 3))
    down = (bright.diff(dim=2).abs() * there[:, :, 1:]).sum((1, 2, 3))
    detail = (across + down) / (2 * there.sum((1, 2, 3)))
    width, height = inside.any(1).sum(1), inside.any(2).sum(1)
    found = zip(colours.tolist(), ahead.tolist(), detail.tolist(), (width / height).tolist(), strict=True)
    return [Sight(_first(SHAPES, ratio), _named(shares), _brightest(by), _first(DETAIL, fine))
            for shares, by, fine, ratio in found]  # fmt: skip


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3)).clamp(min=1)


def _shares(pixels: Tensor, there: Tensor) -> Tensor:
    """(B, 3, s, s), (B, 1, s, s) -> (B, colours): the share of each."""
    cells, weights = F.avg_pool2d(pixels * there, CELL), F.avg_pool2d(there, CELL)
    cells = cells / weights.clamp(min=1e-3)
    high, low = cells.amax(1), cells.amin(1)  # (B, c, c)
    spread = high - low
    red, green, blue = cells.unbind(1)
    step = spread.clamp(min=1e-6)
    hue = torch.where(high == red, (green - blue) / step % 6,
                      torch.where(high == green, (blue - red) / step + 2, (red - green) / step + 4)) * 60  # fmt: skip
    name = torch.full_like(hue, -1, dtype=torch.long)
    for limit, colour in HUES:
        name = torch.where((name < 0) & (hue < limit), COLOURS.index(colour), name)
    warm = (name == COLOURS.index("orange")) | (name == COLOURS.index("red")) | (name == COLOURS.index("yellow"))
    name = torch.where(warm & (hue > 8) & (high < 0.6), COLOURS.index("brown"), name)
    plain = spread < 0.14 * high.clamp(min=0.3) + 0.03
    light = torch.bucketize(high, high.new_tensor([0.18, 0.8]))
    name = torch.where(plain | (high < 0.15), light, name)  # black, grey, white come first
    votes = F.one_hot(name, len(COLOURS)) * weights[:, 0, :, :, None]
    return votes.sum((1, 2)) / weights.sum((1, 2, 3))[:, None]


def _named(shares: list[float]) -> tuple[str, ...]:
    order = sorted(range(len(shares)), key=lambda at: -shares[at])
    return tuple(COLOURS[at] for place, at in enumerate(order[:3]) if place == 0 or shares[at] > SHARE)


def _brightest(ahead: list[float]) -> str:
    most = max(range(len(SIDES)), key=lambda at: ahead[at])
    return SIDES[most] if ahead[most] > BRIGHTER else EVEN


def _first(table: dict[str, float], value: float) -> str:
    return next(name for name, limit in table.items() if value < limit or limit == float("inf"))
