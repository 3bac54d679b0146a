"""Colour: the lights, the sky, and how much of both a surface sends to the camera."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from data.synthetic.layouts import Layout
from data.synthetic.textures import GROUND_TEXTURES, noise, to_linear

if TYPE_CHECKING:
    from data.synthetic.pack import Packed
    from data.synthetic.render import Hit, Rays


# azimuth (0: from the camera, positive: from the right) and height of the light in degrees; its colour and strength;
# the sky's light; the sky above and at the horizon; the wall behind floors (sRGB)
_LIGHTS = {
    "morning": (-62, 36, (255, 240, 214), 2.5, (176, 200, 232), 0.62, (96, 152, 214), (226, 234, 238), (196, 200, 202)),
    "noon": (-24, 64, (255, 252, 244), 2.15, (190, 208, 232), 0.62, (62, 128, 208), (206, 226, 242), (206, 208, 206)),
    "evening": (62, 31, (255, 222, 178), 2.4, (190, 188, 214), 0.6, (104, 118, 186), (255, 204, 150), (214, 196, 178)),
    "moon": (-50, 44, (176, 196, 255), 1.15, (104, 124, 190), 0.5, (12, 18, 44), (54, 70, 118), (62, 70, 98)),
}  # fmt: skip
_LOW = math.radians(28)
INDOORS = ("wood", "tiles")


def azimuth(light: str) -> float:
    """Where the light stands, in radians: 0 behind the camera, positive to the right."""
    return math.radians(_LIGHTS[light][0])


def sun(light: str, turned: float | None = None) -> tuple[float, float, float]:
    """Unit vector to the light, or to one turned to another azimuth; the further, the lower and plainer it stands."""
    height = math.radians(_LIGHTS[light][1])
    if turned is None:
        turned = azimuth(light)
    else:
        height += (min(height, _LOW) - height) * min(1.0, abs(turned - azimuth(light)) / math.radians(90))
    return (math.cos(height) * math.sin(turned), math.sin(height), -math.cos(height) * math.cos(turned))


def by_value(layouts: Sequence[Layout], key: Callable[[Layout], str], device: torch.device) -> list[tuple[str, Tensor]]:
    """The pictures of each value of `key`."""
    values = [key(layout) for layout in layouts]
    return [(value, torch.tensor([i for i, v in enumerate(values) if v == value], device=device))
            for value in dict.fromkeys(values)]  # fmt: skip


def _column(values: Iterable[float], device: torch.device) -> Tensor:
    """One number a picture, as (B, 1, 1)."""
    return torch.tensor(list(values), device=device, dtype=torch.float32)[:, None, None]


def _colours(values: Iterable[Sequence[float]], device: torch.device) -> Tensor:
    """One sRGB colour a picture, as linear (3, B, 1, 1)."""
    return torch.tensor(to_linear(list(values)), device=device, dtype=torch.float32).T[..., None, None]


def _sky(layouts: Sequence[Layout], rays: "Rays", seeds: Tensor) -> Tensor:
    """What is seen where nothing is: sky with clouds, night with stars, or the wall behind a floor."""
    device = rays.way.device
    up = rays.way[1]
    inside = [layout.ground in INDOORS for layout in layouts]
    lights = [_LIGHTS[layout.light] for layout in layouts]
    low = _colours((v[8] if i else v[7] for v, i in zip(lights, inside, strict=True)), device)
    high = _colours(([0.82 * c for c in v[8]] if i else v[6] for v, i in zip(lights, inside, strict=True)), device)
    colour = low + (high - low) * (up * 3.2).clamp(0, 1).sqrt()
    repeat = _column((layout.repeat for layout in layouts), device)
    x, y = rays.way[0] * 34, up * 90
    x, y = torch.lerp(x, x % 5.0, (repeat > 0).float()), torch.lerp(y, y % 5.0, (repeat > 0).float())
    cloud = (noise("cloud", x, y, seeds) * 0.5 + 0.1).clamp(0, 1) * (up * 9).clamp(0, 1)
    night = _column((layout.light == "moon" for layout in layouts), device)
    outdoors = 1 - _column(inside, device)
    colour = torch.lerp(colour, _colours(([min(255, 1.12 * c + 6) for c in v[7]] for v in lights), device),
                        cloud * outdoors * (0.62 - 0.42 * night))  # fmt: skip
    stars = (noise("grain", rays.way[0] * 150, up * 150, seeds) > 2.75).to(up.dtype)
    return colour + 0.55 * stars * night * outdoors * (up * 8).clamp(0, 1)


def _ground(layouts: Sequence[Layout], hit: "Hit", seeds: Tensor) -> Tensor:
    """The ground's own colour (3, B, T, R)."""
    device = hit.t.device
    fade = (1.25 - hit.t / 14).clamp(0, 1)
    repeat = _column((layout.repeat for layout in layouts), device)
    away = _column((layout.distance for layout in layouts), device)
    tile = 0.17 * away  # the patch, about as large in every picture
    u, v = (hit.point[0] + 0.2) / tile, hit.point[2] / tile
    on = (repeat > 0).float()
    x = torch.lerp(hit.point[0], (u - u.floor()) * tile, on)
    z = torch.lerp(hit.point[2], (v - v.floor()) * tile, on)
    colour = torch.empty_like(hit.point)
    for name, pictures in by_value(layouts, lambda layout: layout.ground, device):
        colour[:, pictures] = GROUND_TEXTURES[name](x[pictures], z[pictures], seeds[pictures], fade[pictures])
    # a copied patch carries its own light and its own blot with it
    strength = repeat**0.7 * (1.6 - hit.t / (2.2 * away)).clamp(0, 1)
    patch = (u - u.floor() - 0.5) * 0.9 + (v - v.floor() - 0.5) * 0.9
    blot = ((u - u.floor() - 0.62) ** 2 * 1.3 + (v - v.floor() - 0.4) ** 2) < 0.045
    return colour * (1 + strength * (0.8 * patch - 0.7 * blot)).clamp_min(0.08)


def shade(layouts: Sequence[Layout], scene: "Packed", rays: "Rays", hit: "Hit") -> tuple[Tensor, Tensor]:
    """Linear light (3, B, T, R) that the camera sees, and a map (1, …) that tells surfaces apart."""
    device = hit.t.device
    seeds = torch.tensor([layout.seed for layout in layouts], device=device)[:, None, None]
    thing = hit.part >= 0
    row = torch.arange(len(layouts), device=device)[:, None, None]
    at = row, hit.part.clamp_min(0)
    own = torch.where(thing, scene.body[at], -1)
    colour = torch.where(thing, scene.colour[at].permute(3, 0, 1, 2), _ground(layouts, hit, seeds))
    to_sun = torch.where(thing, scene.sun[at].permute(3, 0, 1, 2), scene.sun_ground.T[..., None, None])
    lights = [_LIGHTS[layout.light] for layout in layouts]
    glow = _colours((v[2] for v in lights), device) * _column((v[3] for v in lights), device)
    air = _colours((v[4] for v in lights), device) * _column((v[5] for v in lights), device)

    facing = (hit.normal * to_sun).sum(0)
    lit = facing.clamp_min(0) * (1 - hit.shadow)
    for name, pictures in by_value(layouts, lambda layout: layout.style, device):
        if name == "comic":  # three flat tones
            steps = lit[pictures]
            lit[pictures] = torch.where(steps > 0.55, 0.8, torch.where(steps > 0.12, 0.45, 0.05))
        if name == "clay render":  # light wraps around soft things; only cast shadows are hard
            wrap = ((facing[pictures] + 0.35) / 1.35).clamp_min(0)
            lit[pictures] = 0.8 * wrap * (1 - 0.7 * hit.shadow[pictures])
    open_ = _openness(scene, hit, own)
    bounce = colour.mean((2, 3), keepdim=True) * 0.35
    light = glow * lit + (air * (0.55 + 0.45 * hit.normal[1]) + bounce * (0.5 - 0.5 * hit.normal[1])) * open_
    linear = colour * light
    photo = _column((layout.style == "photograph" for layout in layouts), device)
    half = to_sun - rays.way
    shine = (hit.normal * half).sum(0).clamp_min(0) * half.square().sum(0).clamp_min(1e-6).rsqrt()
    linear = linear + glow * (0.22 * photo * thing * (1 - hit.shadow) * shine**48)
    sky = _sky(layouts, rays, seeds)
    haze = torch.where(thing, 0.0, ((hit.t - 11) / 34).clamp(0, 1))
    linear = torch.where(hit.part == -2, sky, torch.lerp(linear, sky, haze))
    surface = own * 4 + (colour * thing).sum(0) + 0.3 * torch.round(hit.normal[2] * 1.5)
    return linear, surface[None]


def _openness(scene: "Packed", hit: "Hit", own: Tensor) -> Tensor:
    """How much of the sky a point sees past the other bodies, each taken for a sphere; near the ground, less."""
    hidden = torch.zeros_like(hit.t)
    for k in range(scene.bodies.shape[1]):
        sphere = scene.bodies[:, k, :, None, None]
        to = [sphere[:, j] - hit.point[j] for j in range(3)]
        distance = (to[0] ** 2 + to[1] ** 2 + to[2] ** 2).clamp_min(1e-4)
        slant = (sum(to[j] * hit.normal[j] for j in range(3)) * distance.rsqrt() + 0.35).clamp(0, 1.35) / 1.35
        hidden = torch.maximum(hidden, (own != k) * slant * (sphere[:, 3] ** 2 / distance).clamp_max(1))
    low = torch.where(own >= 0, (hit.point[1] * 2.2 + 0.45).clamp_max(1), 1.0)
    return (1 - 0.85 * hidden) * low
