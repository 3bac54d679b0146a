"""Layouts as tensors: every part of every thing as an affine map, a box and a quadric."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from data.synthetic import paint
from data.synthetic.layouts import Body, Layout
from data.synthetic.shapes import PAINT, SHAPES
from data.synthetic.textures import to_linear


@dataclass
class Packed:
    """All parts of all layouts as tensors, padded to P parts and K bodies a layout."""

    frame: Tensor  # (B, P, 3, 4) world → part
    low: Tensor  # (B, P, 3)
    high: Tensor  # (B, P, 3)
    quadric: Tensor  # (B, P, 5)
    colour: Tensor  # (B, P, 3) linear
    sun: Tensor  # (B, P, 3) direction to the light of the part's body
    ball: Tensor  # (B, P, 4) bounding sphere; radius -1 for padding
    body: Tensor  # (B, P) index of the body
    bodies: Tensor  # (B, K, 4) a sphere that stands for the body when it darkens its surroundings
    sun_ground: Tensor  # (B, 3)

    def convex(self, picture: Tensor, parts: Tensor) -> tuple[Tensor, ...]:
        """Frames, boxes and quadrics of `parts` (n, k) of each `picture` (n), shaped for rays: (n, k, 1, …)."""
        at = picture[:, None], parts
        return tuple(values[at][:, :, None] for values in (self.frame, self.low, self.high, self.quadric))


_CORNERS = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
_PAINT = {name: to_linear(colour) for name, colour in PAINT.items()}


def pack(layouts: Sequence[Layout], device: torch.device) -> Packed:
    """Turn layouts into tensors, all parts of all bodies in one go."""
    bodies = [(picture, k, body) for picture, layout in enumerate(layouts) for k, body in enumerate(layout.bodies)]
    shapes = [SHAPES[body.kind] for _, _, body in bodies]
    owner = np.repeat(np.arange(len(bodies)), [len(shape.low) for shape in shapes])
    number = np.concatenate([np.arange(len(shape.low)) for shape in shapes])
    low, high, quadric = (np.concatenate([getattr(v, name) for v in shapes]) for name in ("low", "high", "quadrics"))
    world = _place(np.concatenate([shape.frames for shape in shapes]), low, high, number,
                   [body for _, _, body in bodies], owner)  # fmt: skip
    corners = (low[:, None] + _CORNERS * (high - low)[:, None]) @ world[:, :3, :3].transpose(0, 2, 1)
    corners += world[:, None, :3, 3]
    middle = (corners.min(axis=1) + corners.max(axis=1)) / 2
    radius = np.sqrt(((corners - middle[:, None]) ** 2).sum(axis=2).max(axis=1))
    suns = np.array([paint.sun(layouts[picture].light, body.light) for picture, _, body in bodies])
    colour = [_PAINT[body.colour if name == "main" else name]
              for (_, _, body), shape in zip(bodies, shapes, strict=True) for name in shape.materials]  # fmt: skip
    spheres = np.array([_sphere(body) for _, _, body in bodies])

    picture, place = np.array([(picture, k) for picture, k, _ in bodies]).T
    slot = np.arange(len(owner)) - np.searchsorted(picture[owner], np.arange(len(layouts)))[picture[owner]]

    def scatter(values, rows, columns, fill: float = 0.0) -> Tensor:
        values = np.asarray(values, np.float32)
        out = np.full((len(layouts), columns.max() + 1, *values.shape[1:]), fill, np.float32)
        out[rows, columns] = values
        return torch.from_numpy(out).to(device)

    by_part = picture[owner], slot
    return Packed(
        frame=scatter(np.linalg.inv(world)[:, :3], *by_part),
        low=scatter(low, *by_part),
        high=scatter(high, *by_part),
        quadric=scatter(quadric, *by_part),
        colour=scatter(colour, *by_part),
        sun=scatter(suns[owner], *by_part),
        ball=scatter(np.column_stack((middle, radius)), *by_part, fill=-1.0),
        body=scatter(place[owner], *by_part).long(),
        bodies=scatter(spheres, picture, place),
        sun_ground=torch.tensor([paint.sun(layout.light) for layout in layouts], device=device),
    )


def _sphere(body: Body) -> tuple[float, float, float, float]:
    """A sphere on the ground that stands for a body when it darkens its surroundings."""
    shape = SHAPES[body.kind]
    radius = 0.5 * body.size * (min(shape.radius, 0.6) + 0.3 * shape.height)
    return body.x, radius * 0.9, body.z, radius


def _place(frames: np.ndarray, low: np.ndarray, high: np.ndarray, number: np.ndarray, bodies: Sequence[Body],
           owner: np.ndarray) -> np.ndarray:  # fmt: skip
    """Part → world: each part `number` of its `owner` turned, bent over, torn off, put in its place."""
    traits = np.array([(b.x, b.z, b.size, b.yaw, b.bend, b.tear) for b in bodies])[owner].T
    x, z, size, yaw, bend, tear = traits
    turn = np.zeros((len(frames), 4, 4))
    turn[:, 0, 0] = turn[:, 2, 2] = np.cos(yaw) * size
    turn[:, 0, 2] = np.sin(yaw) * size
    turn[:, 2, 0] = -turn[:, 0, 2]
    turn[:, 1, 1], turn[:, 3, 3] = size, 1
    reach = np.abs(frames[:, 1, :3]).sum(axis=1)
    height = (frames[:, 1, 3] + reach * (high[:, 1] + low[:, 1]) / 2) * size
    # bending moves x by bend·(½·y + ⅓·y²), linearised around each part's middle
    shear = np.tile(np.eye(4), (len(frames), 1, 1))
    shear[:, 0, 1] = bend * (0.5 + 0.66 * height)
    shear[:, 0, 3] = -bend * 0.33 * height**2
    world = shear @ turn @ frames
    odd = number % 2
    world[:, 0, 3] += x + tear * size * 0.42 * np.where(odd, 1.0, -0.35)
    world[:, 1, 3] += tear * size * 0.16 * (number % 3)
    world[:, 2, 3] += z - tear * size * 0.2 * odd
    return world
