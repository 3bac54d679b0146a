"""What goes wrong in a simulated picture, and how much people mind.

Three families, one for each aspect:

    quality         the picture itself: blur, grain, blocks, banding, colour cast, low contrast (`filters`)
    correspondence  the things: missing, of another kind or colour, miscounted, misplaced (`changes`)
    authenticity    the world: things bend over or come apart, are lit from contradictory sides, the ground
                    repeats one copied patch

The truth of an aspect falls with its own harm h in 0…1, and a little with the quality's, because what one cannot
see well one cannot believe or recognise fully:

    harm of quality, authenticity   √Σ(weight · severity)², at most 1
    harm of correspondence          1 − Π(1 − weight of a difference)
    truth of quality                5 · (1 − h)
    truth of the others             5 · (1 − h) · (1 − CROSSTALK · harm of quality)
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from numpy.random import Generator

from data.synthetic.captions import stands
from data.synthetic.changes import CHANGES, Difference, change, differences
from data.synthetic.layouts import Filter, Layout, lay_out
from data.synthetic.scenes import Scene
from data.synthetic.traits import alter, choose

ASPECTS = ("quality", "correspondence", "authenticity")
CROSSTALK = 0.1
# how much the strongest fault of a sort harms alone
QUALITY = {"blur": 1.0, "grain": 0.95, "blocks": 0.95, "banding": 0.9, "colour cast": 0.85, "low contrast": 0.85}
AUTHENTICITY = {"tear": 1.0, "bend": 0.9, "light": 0.7, "repeat": 0.9}


@dataclass(frozen=True)
class Picture:
    """A prompt's scene, the layout drawn for it, and what is wrong with it."""

    wanted: Scene
    layout: Layout
    quality: Mapping[str, float]  # severities, 0…1
    authenticity: Mapping[str, float]
    differences: Sequence[Difference]

    @property
    def truth(self) -> dict[str, float]:
        """What a panel without bias and noise would say: 0…5 for each aspect."""
        blurred = harm(self.quality, QUALITY)
        kept = math.prod(1 - difference.weight for difference in self.differences)
        seen = 1 - CROSSTALK * blurred
        believed = 1 - harm(self.authenticity, AUTHENTICITY)
        return {"quality": 5 * (1 - blurred), "correspondence": 5 * kept * seen, "authenticity": 5 * believed * seen}


def harm(severities: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Several faults together, 0…1: less than their sum, more than the worst."""
    return min(1.0, math.sqrt(sum((weights[name] * value) ** 2 for name, value in severities.items())))


def draw_picture(scene: Scene, quality: Mapping[str, float], changes: Sequence[str],
                 authenticity: Mapping[str, float], rng: Generator) -> Picture:  # fmt: skip
    """Draw a layout of `scene` with the given faults; faults that the scene gives no room for are left out.

    A severity of authenticity is what is *seen*: a fault that befalls few of the things, or cannot show on a thing
    alone (contradictory light needs two), is recorded accordingly.
    """
    drawn = scene
    for what in changes:
        drawn = change(drawn, what, rng)
    layout = lay_out(drawn, rng)
    seen: dict[str, float] = {}
    bodies = list(layout.bodies)
    for what, value in authenticity.items():
        if what == "repeat":
            layout = replace(layout, repeat=value)
            seen[what] = value
            continue
        chosen = choose(len(bodies), what, rng)
        sign = float(rng.choice((-1, 1))) if what == "bend" else 1.0
        for i in chosen:
            bodies[i] = alter(bodies[i], what, sign * value, layout.light)
        if chosen:
            seen[what] = value * (0.55 + 0.45 * len(chosen) / len(bodies))
    layout = replace(layout, bodies=tuple(bodies), filters=tuple(Filter(name, quality[name]) for name in quality))
    return Picture(scene, layout, dict(quality), seen, differences(scene, layout.groups, stands(layout, scene)))


__all__ = ["ASPECTS", "AUTHENTICITY", "CHANGES", "QUALITY", "Picture", "draw_picture", "harm"]
