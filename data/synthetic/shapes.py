"""What each kind of thing is made of: convex parts, every one a quadric cut by a box.

A part is a unit body in a frame of its own, |x|, |y|, |z| ≤ 1, that an affine map carries into the thing's frame
(y up, the ground at 0, about one unit wide). The quadric ax·x² + ay·y² + az·z² + b·y + c ≤ 0 makes it round:

    ball      x² + y² + z² ≤ 1
    cylinder  x² + z² ≤ 1
    cone      x² + z² ≤ ((1 - y)/2)²
    wedge     x² ≤ ((1 - y)/2)²         a gable roof
    box       a ball so large that only the box is left

One interval test therefore serves all of them. Solid kinds consist of two halves that fit without a seam:
a picture in which "parts do not fit" only has to move them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

QUADRICS = {
    "ball": (1.0, 1.0, 1.0, 0.0, -1.0),
    "cylinder": (1.0, 0.0, 1.0, 0.0, -1.0),
    "cone": (1.0, -0.25, 1.0, 0.5, -0.25),
    "wedge": (1.0, -0.25, 0.0, 0.5, -0.25),
    "box": (1e-6, 1e-6, 1e-6, 0.0, -1.0),
}
PAINT = {
    "red": (206, 32, 34), "orange": (243, 122, 14), "yellow": (248, 212, 40), "green": (24, 142, 66),
    "blue": (30, 82, 205), "purple": (128, 52, 168), "white": (240, 239, 235),
    "timber": (108, 72, 44), "coal": (38, 37, 41), "cream": (236, 222, 196), "slate": (84, 88, 98),
    "glass": (142, 178, 200), "carrot": (226, 108, 30),
}  # fmt: skip
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """The parts of one kind, as arrays: n parts."""

    frames: Floats  # (n, 4, 4) part → thing
    low: Floats  # (n, 3) the box, in the part's frame
    high: Floats  # (n, 3)
    quadrics: Floats  # (n, 5)
    materials: tuple[str, ...]  # "main" takes the thing's colour
    height: float
    radius: float  # of the footprint


Triple = tuple[float, float, float]


class Part(NamedTuple):
    """One convex part of a thing."""

    frame: Floats  # (4, 4) part → thing
    low: Triple
    high: Triple
    quadric: tuple[float, ...]
    material: str


def _part(quadric: str, centre: Triple, half: Triple, material: str = "main", *, low: Triple = (-1, -1, -1),
          high: Triple = (1, 1, 1), lying: bool = False) -> Part:  # fmt: skip
    """One part: `half` are the half extents; `lying` turns the part's axis from y to z."""
    frame = np.diag((*half, 1.0)).astype(np.float64)
    if lying:
        frame = frame[[0, 2, 1, 3]]
    frame[:3, 3] = centre
    return Part(frame, low, high, QUADRICS[quadric], material)


def _halves(quadric: str, centre: Triple, half: Triple) -> list[Part]:
    """A solid body as a lower and an upper half."""
    return [_part(quadric, centre, half, high=(1, 0, 1)), _part(quadric, centre, half, low=(-1, 0, -1))]


_PARTS = {
    "ball": _halves("ball", (0, 0.52, 0), (0.52, 0.52, 0.52)),
    "cube": _halves("box", (0, 0.46, 0), (0.46, 0.46, 0.46)),
    "cone": _halves("cone", (0, 0.62, 0), (0.56, 0.62, 0.56)),
    "cylinder": _halves("cylinder", (0, 0.52, 0), (0.4, 0.52, 0.4)),
    "tree": [
        _part("cylinder", (0, 0.3, 0), (0.1, 0.34, 0.1), "timber"),
        _part("ball", (-0.24, 0.82, 0.0), (0.36, 0.34, 0.36)),
        _part("ball", (0.24, 0.86, -0.06), (0.36, 0.34, 0.36)),
        _part("ball", (0.0, 1.18, 0.0), (0.4, 0.38, 0.4)),
    ],
    "house": [
        _part("box", (0, 0.36, 0), (0.54, 0.36, 0.42)),
        _part("wedge", (0, 0.94, 0), (0.66, 0.26, 0.48), "slate"),
        _part("box", (0, 0.24, -0.42), (0.11, 0.24, 0.02), "timber"),
        _part("box", (0.34, 0.4, -0.42), (0.1, 0.1, 0.02), "cream"),
        _part("box", (-0.34, 0.4, -0.42), (0.1, 0.1, 0.02), "cream"),
    ],
    "mushroom": [
        _part("cylinder", (0, 0.3, 0), (0.17, 0.34, 0.17), "cream"),
        _part("ball", (0, 0.5, 0), (0.58, 0.52, 0.58), low=(-1, 0, -1)),
        _part("ball", (-0.2, 0.88, -0.38), (0.09, 0.08, 0.09), "cream"),
        _part("ball", (0.22, 0.84, -0.4), (0.1, 0.08, 0.09), "cream"),
        _part("ball", (0.02, 0.68, -0.53), (0.08, 0.08, 0.06), "cream"),
    ],
    "snowman": [
        _part("ball", (0, 0.38, 0), (0.44, 0.42, 0.44)),
        _part("ball", (0, 0.9, 0), (0.31, 0.3, 0.31)),
        _part("ball", (0, 1.28, 0), (0.22, 0.21, 0.22)),
        _part("cylinder", (0, 1.46, 0), (0.25, 0.02, 0.25), "coal"),
        _part("cylinder", (0, 1.58, 0), (0.16, 0.12, 0.16), "coal"),
        _part("ball", (0, 1.27, -0.25), (0.05, 0.05, 0.13), "carrot"),
    ],
    "table": [
        _part("box", (0, 0.72, 0), (0.66, 0.06, 0.46)),
        *(_part("box", (x, 0.33, z), (0.06, 0.33, 0.06), "main") for x in (-0.56, 0.56) for z in (-0.36, 0.36)),
    ],
    "tower": [
        _part("cylinder", (0, 0.55, 0), (0.3, 0.55, 0.3)),
        _part("cylinder", (0, 1.14, 0), (0.38, 0.1, 0.38)),
        _part("cone", (0, 1.5, 0), (0.4, 0.28, 0.4), "slate"),
        _part("box", (0, 0.16, -0.28), (0.09, 0.16, 0.04), "coal"),
        _part("box", (0, 0.72, -0.28), (0.06, 0.1, 0.04), "coal"),
    ],
    "car": [
        _part("box", (0, 0.34, 0), (0.74, 0.17, 0.34)),
        _part("ball", (0.04, 0.46, 0), (0.5, 0.42, 0.32), "glass", low=(-1, 0, -1), high=(1, 0.72, 1)),
        _part("box", (0.04, 0.78, 0), (0.36, 0.035, 0.26)),
        *(_part("cylinder", (x, 0.17, z), (0.17, 0.06, 0.17), "coal", lying=True)
          for x in (-0.44, 0.44) for z in (-0.34, 0.34)),
    ],
}  # fmt: skip


def _shape(parts: list[Part]) -> Shape:
    """Parts as arrays, with the thing's height and the radius of its footprint."""
    frames = np.stack([part.frame for part in parts])
    reach = np.abs(frames[:, :3, :3]).sum(axis=2)
    top = (frames[:, 1, 3] + reach[:, 1]).max()
    side = (np.abs(frames[:, [0, 2], 3]) + reach[:, [0, 2]]).max(axis=0)
    low, high, quadrics = (np.array(values, float) for values in zip(*(part[1:4] for part in parts), strict=True))
    return Shape(frames, low, high, quadrics, tuple(part.material for part in parts), float(top), float(side.max()))


SHAPES = {kind: _shape(parts) for kind, parts in _PARTS.items()}
