"""What rays meet: the nearest part of a thing, and the parts that stand in its light.

Every thing is made of convex parts (`shapes`), so a ray's way through a part is one interval: that of the quadric
cut with those of the box's three slabs. A tile of rays tests only the parts whose bounding spheres it can touch, once
for what it sees and once more for the shadows on it. Each part casts its shadow along the light of its own body: as a
rule that is the scene's light, and where it is not, the picture lies.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from data.synthetic.exact import dot, root, unit
from data.synthetic.pack import Convex, Packed
from data.synthetic.rays import Rays

FAR = 60.0
GROUND, NOTHING = -1, -2  # in place of a part's number
_SLACK = 2e-5  # of a cosine: float32 must not lose a part that a tile just touches


@dataclass
class Hit:
    """What the rays meet first."""

    t: Tensor  # (B, T, R), FAR where nothing
    part: Tensor  # (B, T, R), or GROUND, or NOTHING
    point: Tensor  # (3, B, T, R)
    normal: Tensor  # (3, B, T, R)
    shadow: Tensor  # (B, T, R), 1 in full shadow


class Interval(NamedTuple):
    """Where rays are in a convex body; enter > leave where they miss it."""

    enter: Tensor
    leave: Tensor


class Bucket(NamedTuple):
    """Tiles that test equally many parts."""

    picture: Tensor  # (n)
    tile: Tensor  # (n)
    parts: Tensor  # (n, k)


def trace(scene: Packed, rays: Rays) -> Hit:
    """Nearest part, ground or nothing, for every ray, and whether it lies in shadow."""
    eye, way = rays.eye, rays.way
    t = torch.where(way[1] < -1e-4, -eye[1] / way[1].clamp_max(-1e-4), FAR).clamp_max(FAR)
    part = torch.where(t < FAR, GROUND, NOTHING)
    normal = torch.zeros_like(way)
    normal[1] = 1
    for picture, tile, parts in _buckets(_seen(scene, rays)):
        look = way[:, picture, tile]  # (3, n, R)
        enter, leave = _intervals(scene.convex(picture, parts), eye[:, picture], look[:, :, None])
        near, which = torch.where((enter < leave) & (enter > 0), enter, FAR).min(1)
        which = parts.gather(1, which)
        better = near < t[picture, tile]
        t[picture, tile] = torch.where(better, near, t[picture, tile])
        part[picture, tile] = torch.where(better, which, part[picture, tile])
        body = Convex(*(values[picture[:, None], which] for values in scene.parts))
        found = _normal(body, eye[:, picture, 0] + near * look)
        normal[:, picture, tile] = torch.where(better, found, normal[:, picture, tile])
    point = eye + t * way
    return Hit(t, part, point, normal, _shadow(scene, part, point + 2e-3 * normal))


def _seen(scene: Packed, rays: Rays) -> Tensor:
    """Which parts (B, T, P) a tile may see: a cone around its rays against their bounding spheres."""
    radius = scene.ball[..., 3]
    middle = unit(rays.way[..., 0] + rays.way[..., -1])  # (3, B, T), between the rays at two opposite corners
    cos_cone = dot(middle[..., None], rays.way).amin(-1).clamp(-1, 1)
    sin_cone = root(1 - cos_cone * cos_cone)
    to = scene.ball[..., :3].permute(2, 0, 1) - rays.eye[..., 0]  # (3, B, P)
    distance = root(dot(to, to))
    sin_ball = (radius / distance).clamp(0, 1)
    cos_ball = root(1 - sin_ball * sin_ball)
    # between their axes there is at most the sum of both angles
    least = cos_cone[..., None] * cos_ball[:, None] - sin_cone[..., None] * sin_ball[:, None] - _SLACK
    return (dot(middle[..., None], to[:, :, None]) >= least * distance[:, None]) & (radius > 0)[:, None]


def _buckets(touch: Tensor) -> Iterator[Bucket]:
    """Group tiles by how many parts they may touch, the number of parts rounded up.

    `touch` is (B, T, P). A tile with fewer parts than its bucket tests a few for nothing.
    """
    counts = touch.sum(-1)
    order = touch.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)
    low, most = 0, touch.shape[-1]
    while low < most:
        high = min(max(1, low * 2), most)
        picture, tile = torch.nonzero((counts > low) & (counts <= high), as_tuple=True)
        if len(picture):
            yield Bucket(picture, tile, order[picture, tile, :high])
        low = high


def _turned(frame: Tensor, vectors: Tensor) -> list[Tensor]:
    """x, y and z of vectors (3, …) in frames (…, 3, 4), without the frames' origin."""
    x, y, z = vectors
    return [frame[..., i, 0] * x + frame[..., i, 1] * y + frame[..., i, 2] * z for i in range(3)]


def _intervals(convex: Convex, origin: Tensor, way: Tensor) -> Interval:
    """Where rays enter and leave convex bodies; bodies, `origin` and `way` (3, …) are broadcast."""
    frame, low, high, quadric = convex
    ox, oy, oz = (value + frame[..., i, 3] for i, value in enumerate(_turned(frame, origin)))
    dx, dy, dz = _turned(frame, way)
    qx, qy, qz, qb, qc = quadric.unbind(-1)
    a = qx * dx * dx + qy * dy * dy + qz * dz * dz
    b = qx * ox * dx + qy * oy * dy + qz * oz * dz + 0.5 * qb * dy
    c = qx * ox * ox + qy * oy * oy + qz * oz * oz + qb * oy + qc
    a = torch.where(a.abs() < 1e-9, 1e-9, a)
    inside = b * b - a * c
    half = root(inside.clamp_min(0))
    one, two = (-b - half) / a, (half - b) / a
    # a < 0: the ray meets both halves of a double cone; the lower one is ours, entered or left for good
    bowl, falling = a > 0, dy < 0
    enter = torch.where(bowl, one, torch.where(falling, one, -FAR))
    leave = torch.where(bowl, two, torch.where(falling, FAR, two))
    leave = torch.where(inside < 0, -FAR, leave)
    for o, d, near, far in zip((ox, oy, oz), (dx, dy, dz), low.unbind(-1), high.unbind(-1), strict=True):
        step = 1 / torch.where(d.abs() < 1e-7, 1e-7, d)
        first, last = (near - o) * step, (far - o) * step
        enter = torch.maximum(enter, torch.minimum(first, last))
        leave = torch.minimum(leave, torch.maximum(first, last))
    return Interval(enter, leave)


def _normal(body: Convex, point: Tensor) -> Tensor:
    """Outward unit normals where `point`s (3, n, R) lie on the surfaces of bodies (n, R, …)."""
    frame, low, high, quadric = body
    local = [value + frame[..., i, 3] for i, value in enumerate(_turned(frame, point))]
    to_face = torch.stack([(local[i] - face[..., i]).abs() for face in (low, high) for i in range(3)])
    nearest = to_face.min(0).indices
    qx, qy, qz, qb, qc = quadric.unbind(-1)
    x, y, z = local
    depth = qx * x * x + qy * y * y + qz * z * z + qb * y + qc
    curved = 2 * qx * x, 2 * qy * y + qb, 2 * qz * z
    flat = ((nearest == i + 3).to(x.dtype) - (nearest == i).to(x.dtype) for i in range(3))
    inside = depth < -4e-3
    gx, gy, gz = (torch.where(inside, face, round_) for face, round_ in zip(flat, curved, strict=True))
    return unit(torch.stack([frame[..., 0, j] * gx + frame[..., 1, j] * gy + frame[..., 2, j] * gz for j in range(3)]))


def _shadow(scene: Packed, part: Tensor, point: Tensor) -> Tensor:
    """1 where some part stands between a point (3, B, T, R), off its surface, and the light."""
    dark = torch.zeros_like(point[0])
    low, high = point.amin(-1), point.amax(-1)
    middle, size = (low + high) * 0.5, high - low
    wide = root(dot(size, size)) * 0.5  # (B, T)
    towards = scene.sun.permute(2, 0, 1)[:, :, None]  # (3, B, 1, P)
    to = scene.ball[..., :3].permute(2, 0, 1)[:, :, None] - middle[..., None]  # (3, B, T, P)
    along = dot(to, towards)
    reach = wide[..., None] + scene.ball[:, None, :, 3]
    touch = (dot(to, to) - along * along <= reach * reach) & (along >= -reach) & (scene.ball[:, None, :, 3] > 0)
    touch &= (part != NOTHING).any(-1)[..., None]
    for picture, tile, parts in _buckets(touch):
        light = scene.sun[picture[:, None], parts].permute(2, 0, 1)[..., None]  # (3, n, k, 1)
        enter, leave = _intervals(scene.convex(picture, parts), point[:, picture, tile][:, :, None], light)
        dark[picture, tile] = (leave > enter.clamp_min(1e-3)).any(1).to(dark.dtype)
    return dark
