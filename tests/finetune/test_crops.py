"""What is shown of an image at a step: within its bounds, and the same whoever asks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from finetune.distill.crops import part_of

SIDES = st.integers(16, 90)


def numbered(width, height):
    """Every pixel tells where it stood."""
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([across, down, np.zeros_like(down)], 2).astype(np.uint8))


@given(SIDES, SIDES, st.floats(0.1, 0.99), st.integers(0, 5), st.integers(0, 10_000))
def test_it_is_one_part_of_the_image_mirrored_or_not(width, height, least, seed, place):
    image = numbered(width, height)
    part = part_of(image, least, seed, place)
    for side, whole in zip(part.size, image.size, strict=True):
        assert side >= max(round(least * whole), min(whole, 16))
    if part.getpixel((0, 0))[0] > part.getpixel((part.width - 1, 0))[0]:
        part = ImageOps.mirror(part)
    left, top, _ = part.getpixel((0, 0))
    assert part.tobytes() == image.crop((left, top, left + part.width, top + part.height)).tobytes()


def test_each_place_of_the_run_shows_another_part_and_always_the_same():
    image = numbered(80, 60)
    parts = [part_of(image, 0.5, 0, place).tobytes() for place in range(40)]
    assert len(set(parts)) > 35
    lefts = [part_of(image, 0.5, 0, place) for place in range(40)]
    mirrored = [part.getpixel((0, 0))[0] > part.getpixel((part.width - 1, 0))[0] for part in lefts]
    assert 8 < sum(mirrored) < 32
    assert parts == [part_of(image, 0.5, 0, place).tobytes() for place in range(40)]
    assert parts != [part_of(image, 0.5, 1, place).tobytes() for place in range(40)]


def test_all_of_it_is_the_image_itself():
    image = numbered(20, 20)
    assert part_of(image, 1.0, 0, 7) is image
