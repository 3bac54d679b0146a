"""An image as it is shown at one step: a part of it, mirrored or not.

A few hundred images are known by heart after a few epochs, and a model that knows them need not look at them. Shown
otherwise each time, they have to be looked at. Which part is a function of the seed and of the example's place in the
run, so that a run that goes on, and one in several processes, shows the same.
"""

import numpy as np
from PIL import ImageOps
from PIL.Image import Image

from m3agiqa.images import MIN_SIDE


def part_of(image: Image, least: float, seed: int, place: int) -> Image:
    """A part of `image` with at least the share `least` of its sides, mirrored or not; with a share of 1 all of it."""
    if least == 1.0:
        return image
    draw = np.random.default_rng((seed, place))
    share = draw.uniform(least, 1.0)
    width, height = (max(round(share * side), min(side, MIN_SIDE)) for side in image.size)
    left, top = (int(draw.integers(side - kept + 1)) for side, kept in zip(image.size, (width, height), strict=True))
    part = image.crop((left, top, left + width, top + height))
    return ImageOps.mirror(part) if draw.random() < 0.5 else part
