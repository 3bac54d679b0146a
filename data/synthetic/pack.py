"""Layouts as tensors: every part of every thing as an affine map, a box and a quadric."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from data.synthetic.colours import to_linear
from data.synthetic.exact import settled
from data.synthetic.layouts import Body, Layout
from data.synthetic.lights import sun
from data.synthetic.shapes import PAINT, SHAPES

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Convex(NamedTuple):
    """Convex bodies as a ray meets them: a quadric cut by a box, in a frame of their own."""

    frame: Tensor  # (…, 3, 4) world → body
    low: Tensor  # (…, 3)
    high: Tensor  # (…, 3)
    quadric: Tensor  # (…, 5)


@dataclass
class Packed:
    """All parts of all layouts as tensors, padded to P parts and K bodies a layout."""

    parts: Convex  # (B, P, …)
    colour: Tensor  # (B, P, 3) linear
    sun: Tensor  # (B, P, 3) direction to the light of the part's body
    ball: Tensor  # (B, P, 4) bounding sphere; radius -1 for padding
    body: Tensor  # (B, P) index of the body
    bodies: Tensor  # (B, K, 4) a sphere that stands for the body when it darkens its surroundings
    sun_ground: Tensor  # (B, 3)

    def convex(self, picture: Tensor, parts: Tensor) -> Convex:
        """`parts` (n, k) of each `picture` (n), shaped for rays: (n, k, 1, …)."""
        at = picture[:, None], parts
        return Convex(*(values[at][:, :, None] for values in self.parts))


_CORNERS = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
_PAINT = {name: to_linear(colour) for name, colour in PAINT.items()}


class _Traits(NamedTuple):
    """What bends and moves parts, a number each, `settled`; from here on, every operation is exact (see `exact`)."""

    x: Floats
    z: Floats
    size: Floats
    cos: Floats  # of the yaw
    sin: Floats
    bend: Floats
    tear: Floats


def pack(layouts: Sequence[Layout], device: torch.device) -> Packed:
    """Turn layouts into tensors, all parts of all bodies in one go."""
    bodies = [(picture, k, body) for picture, layout in enumerate(layouts) for k, body in enumerate(layout.bodies)]
    shapes = [SHAPES[body.kind] for _, _, body in bodies]
    owner = np.repeat(np.arange(len(bodies)), [len(shape.low) for shape in shapes])
    number = np.concatenate([np.arange(len(shape.low)) for shape in shapes])
    low, high, quadric = (np.concatenate([getattr(v, name) for v in shapes]) for name in ("low", "high", "quadrics"))
    traits = _traits([body for _, _, body in bodies])
    world = _place(np.concatenate([shape.frames for shape in shapes]), low, high, number,
                   _Traits(*(values[owner] for values in traits)))  # fmt: skip
    corners = _moved(world[:, None], low[:, None] + _CORNERS * (high - low)[:, None])
    middle = (corners.min(axis=1) + corners.max(axis=1)) / 2
    away = corners - middle[:, None]
    radius = np.sqrt((away[..., 0] ** 2 + away[..., 1] ** 2 + away[..., 2] ** 2).max(axis=1))
    suns = np.array([sun(layouts[picture].light, body.light) for picture, _, body in bodies])
    colour = [_PAINT[body.colour if name == "main" else name]
              for (_, _, body), shape in zip(bodies, shapes, strict=True) for name in shape.materials]  # fmt: skip
    # a body's sphere stands on the ground
    wide = 0.5 * traits.size * np.array([min(shape.radius, 0.6) + 0.3 * shape.height for shape in shapes])
    spheres = np.column_stack((traits.x, wide * 0.9, traits.z, wide))

    picture, place = np.array([(picture, k) for picture, k, _ in bodies]).T
    slot = np.arange(len(owner)) - np.searchsorted(picture[owner], np.arange(len(layouts)))[picture[owner]]

    def scatter(values: ArrayLike, rows: Numbers, columns: Numbers, fill: float = 0.0) -> Tensor:
        values = np.asarray(values, np.float32)
        out = np.full((len(layouts), columns.max() + 1, *values.shape[1:]), fill, np.float32)
        out[rows, columns] = values
        return torch.from_numpy(out).to(device)

    by_part = picture[owner], slot
    parts = Convex(*(scatter(values, *by_part) for values in (_inverse(world), low, high, quadric)))
    return Packed(
        parts=parts,
        colour=scatter(colour, *by_part),
        sun=scatter(suns[owner], *by_part),
        ball=scatter(np.column_stack((middle, radius)), *by_part, fill=-1.0),
        body=scatter(place[owner], *by_part).long(),
        bodies=scatter(spheres, picture, place),
        sun_ground=torch.tensor([sun(layout.light) for layout in layouts], device=device),
    )


def _traits(bodies: Sequence[Body]) -> _Traits:
    values = [(b.x, b.z, b.size, math.cos(b.yaw), math.sin(b.yaw), b.bend, b.tear) for b in bodies]
    return _Traits(*settled(values).T)


def _place(frames: Floats, low: Floats, high: Floats, number: Numbers, body: _Traits) -> Floats:
    """Part → world (n, 4, 4): each part `number` of its `body` turned, bent over, torn off, put in its place."""
    turn = np.zeros((len(frames), 4, 4))
    turn[:, 0, 0] = turn[:, 2, 2] = body.cos * body.size
    turn[:, 0, 2] = body.sin * body.size
    turn[:, 2, 0] = -turn[:, 0, 2]
    turn[:, 1, 1], turn[:, 3, 3] = body.size, 1
    reach = np.abs(frames[:, 1, 0]) + np.abs(frames[:, 1, 1]) + np.abs(frames[:, 1, 2])
    height = (frames[:, 1, 3] + reach * (high[:, 1] + low[:, 1]) / 2) * body.size
    # bending moves x by bend·(½·y + ⅓·y²), linearised around each part's middle
    shear = np.tile(np.eye(4), (len(frames), 1, 1))
    shear[:, 0, 1] = body.bend * (0.5 + 0.66 * height)
    shear[:, 0, 3] = -body.bend * 0.33 * height**2
    world = _product(_product(shear, turn), frames)
    odd = number % 2
    world[:, 0, 3] += body.x + body.tear * body.size * 0.42 * np.where(odd, 1.0, -0.35)
    world[:, 1, 3] += body.tear * body.size * 0.16 * (number % 3)
    world[:, 2, 3] += body.z - body.tear * body.size * 0.2 * odd
    return world


def _product(one: Floats, other: Floats) -> Floats:
    """Matrix products (…, 4, 4), term by term: a BLAS has an order of its own."""
    terms = [one[..., :, k, None] * other[..., None, k, :] for k in range(4)]
    return terms[0] + terms[1] + terms[2] + terms[3]


def _moved(world: Floats, points: Floats) -> Floats:
    """Points (…, 3) through affine maps (…, 4, 4)."""
    x, y, z = (points[..., k, None] * world[..., :3, k] for k in range(3))
    return x + y + z + world[..., :3, 3]


def _inverse(world: Floats) -> Floats:
    """World → part (n, 3, 4) of affine maps (n, 4, 4): its rows are cross products of their columns."""
    a, b, c, origin = (world[:, :3, k] for k in range(4))
    rows = np.stack((np.cross(b, c), np.cross(c, a), np.cross(a, b)), axis=1)
    volume = a[:, 0] * rows[:, 0, 0] + a[:, 1] * rows[:, 0, 1] + a[:, 2] * rows[:, 0, 2]
    rows /= volume[:, None, None]
    back = rows[..., 0] * origin[:, None, 0] + rows[..., 1] * origin[:, None, 1] + rows[..., 2] * origin[:, None, 2]
    return np.concatenate((rows, -back[..., None]), axis=2)
