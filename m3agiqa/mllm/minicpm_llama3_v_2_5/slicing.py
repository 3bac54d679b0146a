"""How MiniCPM-Llama3-V-2.5 looks at an image: whole, and where it is large also in slices, each near 448² pixels.

The grid of slices is the one whose shape is nearest the image's, among those with about as many slices as the image
has 448² areas. Rounding is Python's, as in the model's own code: another would give other pixels.
"""

import math
from dataclasses import dataclass

Size = tuple[int, int]  # (width, height) in pixels


@dataclass(frozen=True)
class Slicing:
    """How one image is seen."""

    whole: Size  # the whole image is resized to this
    grid: Size | None  # (columns, rows) of slices; None: the whole image alone
    refined: Size | None  # the image is resized to this, and cut by the grid


def slicing(size: Size, *, max_slices: int, side: int, patch: int) -> Slicing:
    """How an image of `size` is seen, with views of about `side`² pixels that are multiples of `patch`."""
    grid = _grid(size, max_slices, side)
    if grid is None:
        return Slicing(_best_size(size, side, patch, upscale=True), None, None)
    columns, rows = grid
    cell = _multiple(size[0], columns) / columns, _multiple(size[1], rows) / rows
    width, height = _best_size(cell, side, patch, upscale=True)
    return Slicing(_best_size(size, side, patch, upscale=False), grid, (width * grid[0], height * grid[1]))


def _grid(size: Size, max_slices: int, side: int) -> Size | None:
    """(columns, rows) of the slices, or None where one view is enough."""
    width, height = size
    areas = min(math.ceil(width * height / side**2), max_slices)
    if areas <= 1:
        return None
    grids = [
        (columns, count // columns)
        for count in (areas - 1, areas, areas + 1)
        if 1 < count <= max_slices
        for columns in range(1, count + 1)
        if count % columns == 0
    ]
    shape = math.log(width / height)
    return min(grids, key=lambda grid: abs(shape - math.log(grid[0] / grid[1])))  # of equals, the first


def _best_size(size: tuple[float, float], side: int, patch: int, *, upscale: bool) -> Size:
    """`size` scaled to `side`² pixels in its own shape, each side then rounded to a multiple of `patch`."""
    width, height = size
    if upscale or width * height > side**2:
        ratio = width / height
        height = int(side / math.sqrt(ratio))
        width = int(height * ratio)
    return _multiple(width, patch), _multiple(height, patch)


def _multiple(length: float, of: int) -> int:
    """The multiple of `of` nearest `length`, and at least `of`."""
    return max(round(length / of) * of, of)
