"""Pictures as `small` sees them while it learns: a part or the whole, turned or not, with effects of known degree.

Effects are applied at about the size at which a picture is seen, before it is brought to exactly that size, and never
to the bars that make it square: as it is in use, where a file has its flaws before anybody resizes it.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from finetune.pretrain.small.effects import EFFECTS, TINTS, apply
from finetune.pretrain.small.model import IMAGE_SIZE, MEAN
from m3agiqa.images import load_image

# Of one group a picture has one effect at most: several tints would be another tint.
GROUPS = (
    ("overexposure", "underexposure"),
    ("low contrast", "pale colours", "vivid colours"),
    tuple(f"{colour} tint" for colour in TINTS),
    ("blur", "motion blur", "upscaling", "halos"),
    ("noise",),
    ("banding",),
    ("blocks",),
)
HOW_MANY = (0.16, 0.46, 0.25, 0.13)  # effects: none, one, two, three
DEGREES = {"slight": (0.0, 0.24), "clear": (0.38, 0.62), "strong": (0.76, 1.0)}
WORKED_AT = (336, 400, 448)  # px a side, multiples of 16
LEAST_PART = 280  # px: a smaller part would be enlarged until it is soft
PARTS = 0.7  # of the views show a part
TURNED = 0.3  # of the views are turned


class Picture(NamedTuple):
    """One that was made without flaws, as far as its source can tell."""

    pixels: Tensor  # (3, h, w) uint8
    kind: str  # photograph or generated
    source: str


class Recipe(NamedTuple):
    """What is shown of a picture, and what is done to it."""

    picture: int
    part: tuple[int, int, int] | None  # top, left, side; None: the whole
    turned: int  # quarter turns
    mirrored: bool
    effects: dict[str, float]  # name: strength in 0…1

    @property
    def degrees(self) -> dict[str, str]:
        """Slight, clear or strong, by effect."""
        return {name: _degree(strength) for name, strength in self.effects.items()}


class Rendered(NamedTuple):
    """Views, all of one size."""

    images: Tensor  # (B, 392, 392, 3) uint8
    inside: Tensor  # (B, 392, 392) bool: the picture, not the bars


def _degree(strength: float) -> str:
    return next(name for name, (_, high) in DEGREES.items() if strength <= high)


def read_pictures(folder: Path) -> list[Picture]:
    """The pictures that data.csv lists (columns path, kind, source)."""
    with (folder / "data.csv").open(encoding="utf-8", newline="") as file:
        return [Picture(_pixels(folder / row["path"]), row["kind"], row["source"]) for row in csv.DictReader(file)]


def _pixels(path: Path) -> Tensor:
    return torch.from_numpy(np.array(load_image(path))).permute(2, 0, 1).contiguous()


def draw(rng: Generator, picture: int, size: Sequence[int]) -> Recipe:
    """A recipe for a picture of `size` (h, w)."""
    many = int(rng.choice(len(HOW_MANY), p=HOW_MANY))
    groups = [GROUPS[at] for at in sorted(rng.choice(len(GROUPS), many, replace=False))]
    effects = {}
    for group in groups:
        low, high = DEGREES[str(rng.choice(list(DEGREES)))]
        effects[str(rng.choice(group))] = float(rng.uniform(low, high))
    part = None
    if rng.random() < PARTS:
        side = int(rng.integers(min(LEAST_PART, *size), min(size) + 1))
        part = int(rng.integers(size[0] - side + 1)), int(rng.integers(size[1] - side + 1)), side
    turned = int(rng.integers(1, 4)) if rng.random() < TURNED else 0
    return Recipe(picture, part, turned, bool(rng.random() < 0.5), effects)


def render(pictures: Sequence[Picture], recipes: Sequence[Recipe], dice: torch.Generator) -> Rendered:
    """The views that the recipes ask for, on the device of the pictures."""
    device = pictures[0].pixels.device
    worked_at = WORKED_AT[int(torch.randint(len(WORKED_AT), (), generator=dice, device=device))]
    bars = torch.tensor([int(255 * channel) / 255 for channel in MEAN], device=device)[None, :, None, None]
    squares = torch.zeros(len(recipes), 3, worked_at, worked_at, device=device)
    inside = torch.zeros(len(recipes), 1, worked_at, worked_at, dtype=torch.bool, device=device)
    for row, recipe in enumerate(recipes):
        shown = _shown(pictures[recipe.picture].pixels, recipe, worked_at)
        height, width = shown.shape[1:]
        top, left = (worked_at - height) // 2, (worked_at - width) // 2
        squares[row, :, top : top + height, left : left + width] = shown
        inside[row, :, top : top + height, left : left + width] = True
    squares = torch.where(inside, squares, bars)
    wanted = {name: squares.new_tensor([recipe.effects.get(name, 0.0) for recipe in recipes]) for name in EFFECTS}
    # The weakest degree still is one: a strength of exactly 0 means that there is none.
    squares = torch.where(inside, apply(squares, wanted, dice), bars)
    size = (IMAGE_SIZE, IMAGE_SIZE)
    images = F.interpolate(squares, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
    whole = F.interpolate(inside.float(), size=size, mode="nearest")[:, 0] > 0.5
    return Rendered((images * 255).round().byte().permute(0, 2, 3, 1).contiguous(), whole)


def _shown(pixels: Tensor, recipe: Recipe, longest: int) -> Tensor:
    """The part, with its longest edge at `longest` px: (3, h, w) in 0…1."""
    if recipe.part is not None:
        top, left, side = recipe.part
        pixels = pixels[:, top : top + side, left : left + side]
    height, width = pixels.shape[1:]
    size = (max(1, round(height * longest / max(height, width))), max(1, round(width * longest / max(height, width))))
    shown = F.interpolate(pixels[None] / 255, size=size, mode="bicubic", align_corners=False, antialias=True)[0]
    shown = shown.clamp(0, 1).rot90(recipe.turned, (1, 2))
    return shown.flip(2) if recipe.mirrored else shown
