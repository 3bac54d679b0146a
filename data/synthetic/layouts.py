"""What is really drawn: things at their places, a camera, ground, light, style and filters.

`lay_out` puts a scene into space faithfully. Everything that a picture may do differently from its prompt
(`faults`) or that a caption may mention beside the prompt (`captions`) is an edit of a `Layout`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from data.synthetic.scenes import Group, Scene
from data.synthetic.shapes import SHAPES


class Filter(NamedTuple):
    """What is done to the finished picture, and how much of it."""

    name: str  # in `filters.FILTERS`
    strength: float  # 0…1


@dataclass(frozen=True)
class Body:
    """One thing in its place. x goes right, z away from the camera; the ground is y = 0."""

    kind: str
    colour: str
    x: float
    z: float
    size: float = 1.0
    yaw: float = 0.0  # radians
    bend: float = 0.0  # -1…1: bends over to the left or the right
    tear: float = 0.0  # 0…1: its parts come apart
    light: float | None = None  # its own light's azimuth in radians, 0 = from the camera, positive = from the right


@dataclass(frozen=True)
class Layout:
    """A picture, complete: rendering it twice gives the same pixels."""

    bodies: tuple[Body, ...]
    ground: str
    light: str
    style: str
    distance: float  # of the camera from the middle of the things
    pitch: float  # radians downwards
    target: tuple[float, float]  # x and y that the camera looks at
    seed: int  # places textures, clouds and grain
    repeat: float = 0.0  # 0…1: ground and sky repeat one patch
    filters: tuple[Filter, ...] = ()

    @property
    def groups(self) -> tuple[Group, ...]:
        """What stands there, counted, in the order of the bodies."""
        names = [(body.colour, body.kind) for body in self.bodies]
        return tuple(Group(names.count(name), *name) for name in dict.fromkeys(names))


STEP = 1.42  # from one thing to the next
VIEW = math.tan(math.radians(19))  # half the camera's field of view
_DEEP = ("in front of", "behind")


def lay_out(scene: Scene, rng: Generator) -> Layout:
    """Draw a faithful layout of `scene`: every thing there, the relation plainly visible."""
    rows = _rows(scene, rng)
    side = float(rng.choice((-1, 1)))
    totals = [sum(scene.groups[i].count for i in row) for row, _ in rows]
    stagger = STEP / 4 if len(rows) > 1 and totals[0] % 2 == totals[1] % 2 else 0.0
    bodies: dict[int, list[Body]] = {}
    for (row, depth), sign in zip(rows, (side, -side), strict=False):
        clusters = [_cluster(scene.groups[i], len(rows) > 1, rng) for i in row]
        widths = [np.ptp([x for x, _, _ in cluster]) + STEP for cluster in clusters]
        start = -sum(widths) / 2 + sign * stagger
        for i, cluster, width in zip(row, clusters, widths, strict=True):
            middle = start + width / 2
            bodies[i] = [_body(scene.groups[i], middle + x, depth + z, size, rng) for x, z, size in cluster]
            start += width
    return frame(tuple(body for i in sorted(bodies) for body in bodies[i]), scene, rng)


def frame(bodies: tuple[Body, ...], scene: Scene, rng: Generator) -> Layout:
    """Put the camera where all bodies fill the picture; higher up where things stand behind others."""
    reach = [SHAPES[body.kind].radius * body.size for body in bodies]
    left = min(body.x - wide for body, wide in zip(bodies, reach, strict=True))
    right = max(body.x + wide for body, wide in zip(bodies, reach, strict=True))
    top = max(SHAPES[body.kind].height * body.size for body in bodies)
    deep = max(body.z for body in bodies) - min(body.z for body in bodies) > 1.8
    middle, fill = (left + right) / 2, VIEW * rng.uniform(0.84, 0.93)
    sides = [(abs(body.x - middle) + wide) / fill - body.z for body, wide in zip(bodies, reach, strict=True)]
    return Layout(
        bodies=bodies,
        ground=scene.ground,
        light=scene.light,
        style=scene.style,
        distance=float(max(*sides, (2.7 if deep else 2.0) * top / fill * VIEW + 0.6, 2.9)),
        pitch=float(rng.uniform(0.36, 0.42) if deep else rng.uniform(0.22, 0.3)),
        target=(middle, (0.3 if deep else 0.42) * top + float(rng.uniform(-0.03, 0.08))),
        seed=int(rng.integers(2**31)),
    )


def _cluster(group: Group, line: bool, rng: Generator) -> list[tuple[float, float, float]]:
    """Places (x, z, size) of a group's things around the group's middle: in a line, or three in a triangle."""
    spread = [(i - (group.count - 1) / 2, 0.0) for i in range(group.count)]
    if group.count == 3 and not line:
        spread = [(-0.75, -0.35), (0.0, 0.75), (0.75, -0.35)]
    size = rng.uniform(0.92, 1.1)
    return [
        (STEP * x + rng.uniform(-0.07, 0.07), z + rng.uniform(-0.1, 0.1), size * rng.uniform(0.96, 1.04))
        for x, z in spread
    ]


def _rows(scene: Scene, rng: Generator) -> list[tuple[list[int], float]]:
    """Which groups stand in which row, from left to right, and the row's depth."""
    others = list(range(2, len(scene.groups)))
    if scene.relation in _DEEP:
        front, back = ([0], [1]) if scene.relation == "in front of" else ([1], [0])
        row = front if rng.random() < 0.5 else back
        row[:] = row + others if rng.random() < 0.5 else others + row
        return [(front, -1.1), (back, 1.3)]
    row = list(range(min(len(scene.groups), 2)))
    if scene.relation == "right of" or (scene.relation is None and rng.random() < 0.5):
        row.reverse()
    return [(others + row if rng.random() < 0.5 else row + others, 0.0)]


def _body(group: Group, x: float, z: float, size: float, rng: Generator) -> Body:
    turn = np.pi if group.kind in ("ball", "cube", "cone", "cylinder", "tree") else 0.45
    return Body(group.kind, group.colour, float(x), float(z), float(size), float(rng.uniform(-turn, turn)))


def relation(layout: Layout, one: Group, other: Group) -> str | None:
    """How `one` stands to `other` in the picture, if plainly so."""
    (ax, az), (bx, bz) = (
        tuple(np.array([(b.x, b.z) for b in layout.bodies if (b.colour, b.kind) == (g.colour, g.kind)]).T)
        for g in (one, other)
    )
    for name, gap, wide in (
        ("in front of", bz.min() - az.max(), 1.4),
        ("behind", az.min() - bz.max(), 1.4),
        ("left of", bx.min() - ax.max(), 0.5),
        ("right of", ax.min() - bx.max(), 0.5),
    ):
        if gap > wide:
            return name
    return None
