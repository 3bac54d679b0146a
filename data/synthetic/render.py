"""A small ray tracer in torch: many layouts at once, the same code on a CPU and on a GPU.

Every thing is made of convex parts (`shapes`), so a ray's way through a part is one interval: that of the quadric
cut with those of the box's three slabs. The picture is divided into small tiles; a tile tests only the parts whose
bounding spheres it can touch, once for what it sees and once more for the shadows on it. Each part casts its shadow
along the light of its own body: as a rule that is the scene's light, and where it is not, the picture lies.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data.synthetic import filters, paint, styles
from data.synthetic.layouts import VIEW, Layout
from data.synthetic.pack import Packed, pack

OVERSAMPLE = 2
TILE = 16  # rays along a tile's edge
FAR = 60.0


def render(layouts: Sequence[Layout], size: int = 192, device: str | torch.device = "cpu", chunk: int = 0) -> Tensor:
    """Draw `layouts` as uint8 (B, size, size, 3) on `device`, `chunk` of them at a time (0: what suits the device)."""
    device = torch.device(device)
    chunk = chunk or (2 if device.type == "cpu" else 128)
    if size * OVERSAMPLE % TILE:
        raise ValueError(f"size must be a multiple of {TILE // OVERSAMPLE}, not {size}")
    with torch.inference_mode():
        parts = [_draw(layouts[i : i + chunk], size, device) for i in range(0, len(layouts), chunk)]
    return torch.cat(parts) if parts else torch.zeros(0, size, size, 3, dtype=torch.uint8, device=device)


def _draw(layouts: Sequence[Layout], size: int, device: torch.device) -> Tensor:
    scene = pack(layouts, device)
    rays = _rays(layouts, size, device)
    hit = _first_hit(scene, rays)
    hit.shadow = _shadow(scene, hit)
    linear, lines = paint.shade(layouts, scene, rays, hit)
    picture = styles.develop(layouts, _untile(linear, size), _untile(lines, size))
    picture = filters.apply(picture, [layout.filters for layout in layouts], [layout.seed for layout in layouts])
    return (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@dataclass
class Rays:
    """Camera rays, in tiles: TILE² to a tile."""

    eye: Tensor  # (3, B, 1, 1)
    way: Tensor  # (3, B, T, R), unit length


@dataclass
class Hit:
    """What the rays meet first."""

    t: Tensor  # (B, T, R), FAR where nothing
    part: Tensor  # (B, T, R), -1 for the ground, -2 for nothing
    point: Tensor  # (3, B, T, R)
    normal: Tensor  # (3, B, T, R)
    shadow: Tensor | None = None  # (B, T, R), 1 in full shadow


def _rays(layouts: Sequence[Layout], size: int, device: torch.device) -> Rays:
    """Rays through the pixels' samples, tile by tile."""
    side = size * OVERSAMPLE
    grid = ((torch.arange(side, device=device) + 0.5) / side * 2 - 1) * VIEW
    y, x = torch.meshgrid(-grid, grid, indexing="ij")
    tiles = side // TILE
    x, y = (v.reshape(tiles, TILE, tiles, TILE).transpose(1, 2).reshape(1, tiles**2, TILE**2) for v in (x, y))
    values = [(math.cos(v.pitch), math.sin(v.pitch), *v.target, v.distance) for v in layouts]
    cos, sin, tx, ty, distance = torch.tensor(values, device=device, dtype=torch.float32).T[..., None, None]
    way = torch.stack(torch.broadcast_tensors(x + 0 * cos, y * cos - sin, y * sin + cos))
    eye = torch.stack((tx, ty + distance * sin, -distance * cos))
    return Rays(eye, way * way.square().sum(0).rsqrt())


def _untile(values: Tensor, size: int) -> Tensor:
    """(C, B, T, R) → (B, C, side, side)."""
    tiles = size * OVERSAMPLE // TILE
    values = values.reshape(len(values), -1, tiles, tiles, TILE, TILE)
    return values.permute(1, 0, 2, 4, 3, 5).reshape(values.shape[1], len(values), tiles * TILE, tiles * TILE)


def _intervals(convex: tuple[Tensor, ...], origin: Tensor, way: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays enter and leave convex bodies: all of them broadcast; enter > leave where they miss.

    `convex` is (…, 3, 4) world → body, the box (…, 3) twice and the quadric (…, 5); `origin` and `way` are (3, …).
    """
    frame, low, high, quadric = convex
    ox, oy, oz = (sum(frame[..., i, j] * origin[j] for j in range(3)) + frame[..., i, 3] for i in range(3))
    dx, dy, dz = (sum(frame[..., i, j] * way[j] for j in range(3)) for i in range(3))
    qx, qy, qz, qb, qc = quadric.unbind(-1)
    a = qx * dx * dx + qy * dy * dy + qz * dz * dz
    b = qx * ox * dx + qy * oy * dy + qz * oz * dz + 0.5 * qb * dy
    c = qx * ox * ox + qy * oy * oy + qz * oz * oz + qb * oy + qc
    a = torch.where(a.abs() < 1e-9, 1e-9, a)
    inside = b * b - a * c
    root = inside.clamp_min(0).sqrt()
    one, two = (-b - root) / a, (root - b) / a
    # a < 0: the ray meets both halves of a double cone; the lower one is ours, entered or left for good
    convex, falling = a > 0, dy < 0
    enter = torch.where(convex, one, torch.where(falling, one, -FAR))
    leave = torch.where(convex, two, torch.where(falling, FAR, two))
    leave = torch.where(inside < 0, -FAR, leave)
    for o, d, near, far in zip((ox, oy, oz), (dx, dy, dz), low.unbind(-1), high.unbind(-1), strict=True):
        step = 1 / torch.where(d.abs() < 1e-7, 1e-7, d)
        first, last = (near - o) * step, (far - o) * step
        enter = torch.maximum(enter, torch.minimum(first, last))
        leave = torch.minimum(leave, torch.maximum(first, last))
    return enter, leave


def _buckets(touch: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Group tiles by how many parts they may touch: (picture, tile, parts), the number of parts rounded up.

    `touch` is (B, T, P). A tile with fewer parts than its bucket tests a few for nothing.
    """
    counts = touch.sum(-1)
    order = touch.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)
    low, most = 0, touch.shape[-1]
    while low < most:
        high = min(max(1, low * 2), most)
        picture, tile = torch.nonzero((counts > low) & (counts <= high), as_tuple=True)
        if len(picture):
            yield picture, tile, order[picture, tile, :high]
        low = high


def _first_hit(scene: Packed, rays: Rays) -> Hit:
    """Nearest part, ground or nothing, for every ray."""
    eye, way = rays.eye, rays.way
    t = torch.where(way[1] < -1e-4, -eye[1] / way[1].clamp_max(-1e-4), FAR).clamp_max(FAR)
    part = torch.where(t < FAR, -1, -2)
    normal = torch.zeros_like(way)
    normal[1] = 1
    middle = way.mean(-1)
    middle = middle * middle.square().sum(0).rsqrt()  # (3, B, T)
    wide = (middle[..., None] * way).sum(0).amin(-1).clamp(-1, 1).acos()
    to = scene.ball[..., :3].permute(2, 0, 1) - eye[..., 0]  # (3, B, P)
    distance = to.square().sum(0).sqrt()
    angle = ((middle[..., None] * to[:, :, None]).sum(0) / distance[:, None]).clamp(-1, 1).acos()
    reach = (scene.ball[..., 3] / distance).clamp(-1, 1).asin()
    touch = (angle <= wide[..., None] + reach[:, None]) & (scene.ball[:, None, :, 3] > 0)
    for picture, tile, parts in _buckets(touch):
        look = way[:, picture, tile]  # (3, n, R)
        enter, leave = _intervals(scene.convex(picture, parts), eye[:, picture], look[:, :, None])
        near, which = torch.where((enter < leave) & (enter > 0), enter, FAR).min(1)
        which = parts.gather(1, which)
        better = near < t[picture, tile]
        t[picture, tile] = torch.where(better, near, t[picture, tile])
        part[picture, tile] = torch.where(better, which, part[picture, tile])
        chosen = picture[:, None], which
        found = _normal(scene, chosen, eye[:, picture, 0] + near * look)
        normal[:, picture, tile] = torch.where(better, found, normal[:, picture, tile])
    return Hit(t, part, eye + t * way, normal)


def _normal(scene: Packed, at: tuple[Tensor, Tensor], point: Tensor) -> Tensor:
    """Outward unit normals where `point`s (3, n, R) lie on the surfaces of parts `at`."""
    frame, quadric = scene.frame[at], scene.quadric[at]
    local = torch.stack([sum(frame[..., i, j] * point[j] for j in range(3)) + frame[..., i, 3] for i in range(3)], -1)
    to_face = torch.cat(((local - scene.low[at]).abs(), (local - scene.high[at]).abs()), -1)
    flat = torch.nn.functional.one_hot(to_face.argmin(-1), 6)
    flat = (flat[..., 3:] - flat[..., :3]).to(local.dtype)
    curved = 2 * quadric[..., :3] * local
    curved[..., 1] += quadric[..., 3]
    inside = (quadric[..., :3] * local**2).sum(-1) + quadric[..., 3] * local[..., 1] + quadric[..., 4] < -4e-3
    gradient = torch.where(inside[..., None], flat, curved)
    world = torch.stack([sum(frame[..., i, j] * gradient[..., i] for i in range(3)) for j in range(3)])
    return world * world.square().sum(0).clamp_min(1e-12).rsqrt()


def _shadow(scene: Packed, hit: Hit) -> Tensor:
    """1 where some part stands between a point and the light."""
    point = hit.point + 2e-3 * hit.normal
    dark = torch.zeros_like(hit.t)
    low, high = point.amin(-1), point.amax(-1)
    middle, wide = (low + high) / 2, (high - low).square().sum(0).sqrt() / 2  # (3, B, T), (B, T)
    sun = scene.sun.permute(2, 0, 1)[:, :, None]  # (3, B, 1, P)
    to = scene.ball[..., :3].permute(2, 0, 1)[:, :, None] - middle[..., None]  # (3, B, T, P)
    along = (to * sun).sum(0)
    reach = wide[..., None] + scene.ball[:, None, :, 3]
    touch = ((to.square().sum(0) - along**2) <= reach**2) & (along >= -reach) & (scene.ball[:, None, :, 3] > 0)
    touch &= (hit.part > -2).any(-1)[..., None]
    for picture, tile, parts in _buckets(touch):
        light = scene.sun[picture[:, None], parts].permute(2, 0, 1)[..., None]  # (3, n, k, 1)
        enter, leave = _intervals(scene.convex(picture, parts), point[:, picture, tile][:, :, None], light)
        dark[picture, tile] = ((leave > torch.maximum(enter, torch.full_like(enter, 1e-3))).any(1)).to(dark.dtype)
    return dark
