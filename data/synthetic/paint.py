"""How much of the lights and of the sky each surface sends to the camera, and what is seen where nothing is."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from data.synthetic.batch import by_value, column, seed_column
from data.synthetic.colours import Colour, to_linear
from data.synthetic.exact import dot, mean, mix, root, tensor, wrapped
from data.synthetic.layouts import Layout
from data.synthetic.lights import LIGHTING
from data.synthetic.pack import Packed
from data.synthetic.rays import Rays
from data.synthetic.textures import GROUND_TEXTURES, noise
from data.synthetic.trace import NOTHING, Hit

INDOORS = ("wood", "tiles")


class Shaded(NamedTuple):
    """What the camera sees along its rays."""

    linear: Tensor  # (3, B, T, R) light
    surface: Tensor  # (1, B, T, R) a number that tells surfaces apart


def shade(layouts: Sequence[Layout], scene: Packed, rays: Rays, hit: Hit) -> Shaded:
    """Light what the rays have met."""
    device = hit.t.device
    seeds = seed_column(layouts, device)
    thing = hit.part >= 0
    row = torch.arange(len(layouts), device=device)[:, None, None]
    at = row, hit.part.clamp_min(0)
    own = torch.where(thing, scene.body[at], -1)
    colour = torch.where(thing, scene.colour[at].permute(3, 0, 1, 2), _ground(layouts, hit, seeds))
    to_sun = torch.where(thing, scene.sun[at].permute(3, 0, 1, 2), scene.sun_ground.T[..., None, None])
    lights = [LIGHTING[layout.light] for layout in layouts]
    glow = _colours((v.colour for v in lights), device) * column((v.strength for v in lights), device)
    air = _colours((v.air for v in lights), device) * column((v.air_strength for v in lights), device)

    lit = _lit(layouts, dot(hit.normal, to_sun), hit.shadow)
    bounce = mean(colour) * 0.35
    sky_side, ground_side = 0.55 + 0.45 * hit.normal[1], 0.5 - 0.5 * hit.normal[1]
    light = glow * lit + (air * sky_side + bounce * ground_side) * _openness(scene, hit, own)
    linear = colour * light
    photo = column((layout.style == "photograph" for layout in layouts), device)
    half = to_sun - rays.way
    shine = dot(hit.normal, half).clamp_min(0) / root(dot(half, half).clamp_min(1e-6))
    for _ in range(4):
        shine = shine * shine
    shine = shine * shine * shine  # to the power of 48
    linear = linear + glow * (0.22 * photo * thing * (1 - hit.shadow) * shine)
    sky = _sky(layouts, rays, seeds)
    haze = torch.where(thing, 0.0, ((hit.t - 11) * (1 / 34)).clamp(0, 1))
    linear = torch.where(hit.part == NOTHING, sky, mix(linear, sky, haze))
    of_colour = torch.where(thing, colour[0] + colour[1] + colour[2], 0.0)
    surface = own * 4 + of_colour + 0.3 * torch.round(hit.normal[2] * 1.5)
    return Shaded(linear, surface[None])


def _lit(layouts: Sequence[Layout], facing: Tensor, shadow: Tensor) -> Tensor:
    """How much of its light a surface takes that is turned to it by a cosine `facing`: the styles differ."""
    lit = facing.clamp_min(0) * (1 - shadow)
    for name, pictures in by_value(layouts, lambda layout: layout.style, facing.device):
        if name == "comic":  # three flat tones
            steps = lit[pictures]
            lit[pictures] = torch.where(steps > 0.55, 0.8, torch.where(steps > 0.12, 0.45, 0.05))
        if name == "clay render":  # light wraps around soft things; only cast shadows are hard
            wrap = ((facing[pictures] + 0.35) * (1 / 1.35)).clamp_min(0)
            lit[pictures] = 0.8 * wrap * (1 - 0.7 * shadow[pictures])
    return lit


def _colours(values: Iterable[Colour], device: torch.device) -> Tensor:
    """One sRGB colour a picture, as linear (3, B, 1, 1)."""
    return tensor(to_linear(list(values)), device).T[..., None, None]


def _sky(layouts: Sequence[Layout], rays: Rays, seeds: Tensor) -> Tensor:
    """What is seen where nothing is: sky with clouds, night with stars, or the wall behind a floor."""
    device = rays.way.device
    up = rays.way[1]
    inside = [layout.ground in INDOORS for layout in layouts]
    lights = [LIGHTING[layout.light] for layout in layouts]
    behind = list(zip(lights, inside, strict=True))
    low = _colours((v.wall if walled else v.horizon for v, walled in behind), device)
    high = _colours(([0.82 * c for c in v.wall] if walled else v.zenith for v, walled in behind), device)
    colour = low + (high - low) * root((up * 3.2).clamp(0, 1))
    repeat = column((layout.repeat > 0 for layout in layouts), device)
    x, y = rays.way[0] * 34, up * 90
    x, y = mix(x, wrapped(x, 5), repeat), mix(y, wrapped(y, 5), repeat)
    cloud = (noise("cloud", x, y, seeds) * 0.5 + 0.1).clamp(0, 1) * (up * 9).clamp(0, 1)
    night = column((layout.light == "moon" for layout in layouts), device)
    outdoors = 1 - column(inside, device)
    veil = _colours(([min(255, 1.12 * c + 6) for c in v.horizon] for v in lights), device)
    colour = mix(colour, veil, cloud * outdoors * (0.62 - 0.42 * night))
    stars = (noise("grain", rays.way[0] * 150, up * 150, seeds) > 2.75).to(up.dtype)
    return colour + 0.55 * stars * night * outdoors * (up * 8).clamp(0, 1)


def _ground(layouts: Sequence[Layout], hit: Hit, seeds: Tensor) -> Tensor:
    """The ground's own colour (3, B, T, R)."""
    device = hit.t.device
    fade = (1.25 - hit.t * (1 / 14)).clamp(0, 1)
    repeat = column((layout.repeat > 0 for layout in layouts), device)
    away = column((layout.distance for layout in layouts), device)
    tile = 0.17 * away  # the patch, about as large in every picture
    u, v = (hit.point[0] + 0.2) / tile, hit.point[2] / tile
    u, v = u - u.floor(), v - v.floor()
    x, z = mix(hit.point[0], u * tile, repeat), mix(hit.point[2], v * tile, repeat)
    colour = torch.empty_like(hit.point)
    for name, pictures in by_value(layouts, lambda layout: layout.ground, device):
        colour[:, pictures] = GROUND_TEXTURES[name](x[pictures], z[pictures], seeds[pictures], fade[pictures])
    # a copied patch carries its own light and its own blot with it
    strength = column((layout.repeat**0.7 for layout in layouts), device) * (1.6 - hit.t / (2.2 * away)).clamp(0, 1)
    patch = (u - 0.5) * 0.9 + (v - 0.5) * 0.9
    right, deep = u - 0.62, v - 0.4
    blot = (right * right * 1.3 + deep * deep < 0.045).to(u.dtype)
    return colour * (1 + strength * (0.8 * patch - 0.7 * blot)).clamp_min(0.08)


def _openness(scene: Packed, hit: Hit, own: Tensor) -> Tensor:
    """How much of the sky a point sees past the other bodies, each taken for a sphere; near the ground, less."""
    hidden = torch.zeros_like(hit.t)
    for k in range(scene.bodies.shape[1]):
        x, y, z, radius = scene.bodies[:, k].T[..., None, None]
        to = x - hit.point[0], y - hit.point[1], z - hit.point[2]
        distance = dot(to, to).clamp_min(1e-4)
        slant = (dot(to, hit.normal) / root(distance) + 0.35).clamp(0, 1.35) * (1 / 1.35)
        hidden = torch.maximum(hidden, (own != k) * slant * (radius * radius / distance).clamp_max(1))
    low = torch.where(own >= 0, (hit.point[1] * 2.2 + 0.45).clamp_max(1), 1.0)
    return (1 - 0.85 * hidden) * low
