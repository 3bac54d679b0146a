"""What a thing may have about it that no prompt asks for: it bends over, comes apart, or has a light of its own."""

import math
from dataclasses import replace

from numpy.random import Generator

from data.synthetic.layouts import Body
from data.synthetic.lights import azimuth
from data.synthetic.scenes import LIGHT_SIDES

TURN = math.radians(130)  # the most that a body's own light is turned


def choose(count: int, what: str, rng: Generator) -> list[int]:
    """Which of `count` bodies to alter: all or some; a light of their own, never all, or it would be the scene's."""
    most = count - 1 if what == "light" else count
    return sorted(int(i) for i in rng.permutation(count)[: int(rng.integers(1, most + 1))]) if most else []


def alter(body: Body, what: str, value: float, light: str) -> Body:
    """`body` with one physical trait changed by `value`; its "light" turns to the other side of the scene's."""
    if what == "light":
        away = -1 if LIGHT_SIDES[light] == "right" else 1
        return replace(body, light=azimuth(light) + away * value * TURN)
    if what == "bend":
        return replace(body, bend=value)
    if what == "tear":
        return replace(body, tear=value)
    raise ValueError(f"unknown trait {what!r}")
