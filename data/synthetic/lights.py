"""The four lights of a scene: where each stands, and what colour it gives to things and sky."""

import math
from typing import NamedTuple

from data.synthetic.colours import Colour
from data.synthetic.exact import settled


class Light(NamedTuple):
    """One light and its sky; colours are sRGB."""

    azimuth: float  # degrees; 0: from the camera, positive: from the right
    height: float  # degrees
    colour: Colour
    strength: float
    air: Colour  # what comes from the whole sky
    air_strength: float
    zenith: Colour
    horizon: Colour
    wall: Colour  # behind floors


LIGHTING = {
    "morning": Light(-62, 36, (255, 240, 214), 2.5, (176, 200, 232), 0.62,
                     (96, 152, 214), (226, 234, 238), (196, 200, 202)),
    "noon": Light(-24, 64, (255, 252, 244), 2.15, (190, 208, 232), 0.62,
                  (62, 128, 208), (206, 226, 242), (206, 208, 206)),
    "evening": Light(62, 31, (255, 222, 178), 2.4, (190, 188, 214), 0.6,
                     (104, 118, 186), (255, 204, 150), (214, 196, 178)),
    "moon": Light(-50, 44, (176, 196, 255), 1.15, (104, 124, 190), 0.5,
                  (12, 18, 44), (54, 70, 118), (62, 70, 98)),
}  # fmt: skip
_LOW = math.radians(28)


class Direction(NamedTuple):
    """A unit vector: x to the right, y up, z away from the camera."""

    x: float
    y: float
    z: float


def azimuth(light: str) -> float:
    """Where the light stands, in radians: 0 behind the camera, positive to the right."""
    return math.radians(LIGHTING[light].azimuth)


def sun(light: str, turned: float | None = None) -> Direction:
    """Where to find the light, or one turned to another azimuth; the further, the lower and plainer it stands."""
    height = math.radians(LIGHTING[light].height)
    if turned is None:
        turned = azimuth(light)
    else:
        height += (min(height, _LOW) - height) * min(1.0, abs(turned - azimuth(light)) / math.radians(90))
    flat = math.cos(height)
    return Direction(*settled((flat * math.sin(turned), math.sin(height), -flat * math.cos(turned))).tolist())
