"""PIQE against the paper's definition, block by block, and against what it is for."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from evaluation.piqe import _normalised, piqe


def picture(height=96, width=112) -> Image.Image:
    """Smooth shapes with some texture, the same each time."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 14, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), float)
    return Image.fromarray((smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8))


def slow(image: Image.Image) -> float:
    plane = _normalised(image)
    charge, active = 0.0, 0
    for top in range(0, plane.shape[0], 16):
        for left in range(0, plane.shape[1], 16):
            block = plane[top : top + 16, left : left + 16]
            variance = block.var(ddof=1)
            if variance <= 0.1:
                continue
            active += 1
            edges = (block[0], block[-1], block[:, 0], block[:, -1])
            if any(edge[at : at + 6].std(ddof=1) < 0.1 for edge in edges for at in range(11)):
                charge += 1 - variance
            surround = np.delete(np.delete(block, 7, axis=1), 8, axis=1)  # as the reference deletes
            ratio = block[:, 7:9].std(ddof=1) / surround.std(ddof=1)
            deviation = np.sqrt(variance)
            if deviation > 2 * abs(deviation - ratio) / max(deviation, ratio):
                charge += variance
    return 100 * (charge + 1) / (active + 1)


@pytest.mark.parametrize("size", [(96, 112), (100, 75), (16, 16)])
def test_block_by_block(size):
    assert piqe(picture(*size)) == pytest.approx(slow(picture(*size)))


def test_blur_and_compression_raise_it(tmp_path):
    image = picture()
    image.save(tmp_path / "poor.jpg", quality=5)
    assert piqe(image.filter(ImageFilter.GaussianBlur(3))) > piqe(image) + 10
    assert piqe(Image.open(tmp_path / "poor.jpg").convert("RGB")) > piqe(image) + 10


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_an_image_without_anything_in_it_has_the_worst_score(shade):
    assert piqe(Image.new("RGB", (64, 48), (shade,) * 3)) == 100
