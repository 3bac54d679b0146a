"""Six simulated image generators. Each has its own usual faults, and none is good or poor at everything.

A generator's profile says how much harm it does on average in each aspect and which faults it prefers. A single
picture scatters widely around that, so that knowing the generator helps to guess a rating, but only so far.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from data.synthetic.faults import AUTHENTICITY, CHANGES, QUALITY, Picture, draw_picture
from data.synthetic.scenes import Scene


@dataclass(frozen=True)
class Profile:
    """Mean harm in quality and authenticity, chance of a change (twice a picture), and what is preferred."""

    quality: float
    change: float
    authenticity: float
    prefers: tuple[str, ...]


GENERATORS = {
    "sim-aster": Profile(0.26, 0.58, 0.46, ("colour cast", "grain", "colour", "bend")),
    "sim-birch": Profile(0.58, 0.24, 0.36, ("blur", "low contrast", "relation", "repeat")),
    "sim-cedar": Profile(0.38, 0.42, 0.68, ("blocks", "banding", "count", "tear")),
    "sim-dahlia": Profile(0.50, 0.78, 0.26, ("grain", "blur", "kind", "light")),
    "sim-elder": Profile(0.30, 0.30, 0.24, ("banding", "low contrast", "count", "repeat")),
    "sim-fern": Profile(0.62, 0.66, 0.60, ("blocks", "colour cast", "missing", "tear")),
}
SPREAD = 0.24
PREFERENCE = 2.5  # how much likelier a preferred fault is than another


def draw(name: str, scene: Scene, rng: Generator) -> Picture:
    """A picture of `scene` as generator `name` would make it."""
    profile = GENERATORS[name]
    quality = _faults(profile.quality, QUALITY, profile, rng)
    authenticity = _faults(profile.authenticity, AUTHENTICITY, profile, rng)
    count = int(rng.binomial(2, profile.change))
    changes = _pick(CHANGES, profile, count, rng)
    return draw_picture(scene, quality, changes, authenticity, rng)


def _faults(mean: float, weights: Mapping[str, float], profile: Profile, rng: Generator) -> dict[str, float]:
    """One or two faults that together do a harm drawn around `mean`; none if it is slight."""
    wanted = float(rng.normal(mean, SPREAD))
    if wanted < 0.06:
        return {}
    names = _pick(tuple(weights), profile, 1 + int(rng.random() < 0.4), rng)
    angle = float(rng.uniform(0.35, 1.2))
    shares = (1.0,) if len(names) == 1 else (math.cos(angle), math.sin(angle))
    return {name: float(min(1.0, wanted * share / weights[name])) for name, share in zip(names, shares, strict=True)}


def _pick(names: tuple[str, ...], profile: Profile, count: int, rng: Generator) -> list[str]:
    chances = np.array([PREFERENCE if name in profile.prefers else 1.0 for name in names])
    return [str(name) for name in rng.choice(names, size=count, replace=False, p=chances / chances.sum())]
