"""Each measure reacts to its own fault, in the right direction, and is finite for anything."""

import io
import math
import time

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

from analyzers.measurements import MEASURES, measure


def scene(size=192):
    """Soft shading, some edges, three colours: what a picture is made of."""
    rows, columns = np.mgrid[:size, :size] / size
    red = 60 + 120 * columns
    green = 70 + 90 * rows
    blue = 90 + 40 * np.sin(3 * rows + 2 * columns)
    disc = np.hypot(rows - 0.5, columns - 0.45) < 0.26
    picture = np.stack([np.where(disc, 190, red), np.where(disc, 60 + 60 * rows, green), np.where(disc, 50, blue)], -1)
    return picture + ndimage.gaussian_filter(np.random.default_rng(3).normal(0, 30, picture.shape), (2, 2, 0))


def image(pixels):
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def rated(pixels, key):
    return measure(image(pixels))[key]


def jpeg(pixels, quality):
    file = io.BytesIO()
    image(pixels).save(file, "JPEG", quality=quality)
    return measure(Image.open(file).convert("RGB"))


def test_blur_and_sharpness_follow_defocus():
    source = image(scene())
    values = [measure(source.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 1, 2, 4)]
    assert [v["blur"] for v in values] == sorted(v["blur"] for v in values)
    assert [v["sharpness"] for v in values] == sorted((v["sharpness"] for v in values), reverse=True)


def test_noise_is_estimated_in_levels():
    clean = rated(scene(), "noise")
    for sigma in (5, 10, 20):
        noise = np.random.default_rng(0).normal(0, sigma, (192, 192, 1))
        assert rated(scene() + noise, "noise") == pytest.approx(math.hypot(sigma, clean), rel=0.1)


def test_blockiness_follows_jpeg():
    values = [jpeg(scene(), quality)["blockiness"] for quality in (95, 40, 10)]
    assert values == sorted(values)
    assert values[0] == pytest.approx(1, abs=0.15)
    assert values[-1] > 1.3


def test_banding_follows_coarser_levels():
    smooth = np.repeat(np.linspace(40, 200, 192)[None, :, None], 192, axis=0) * np.ones(3)
    values = [rated(np.floor(smooth / step) * step, "banding") for step in (1, 4, 8)]
    assert values[0] == 0
    assert min(values[1:]) > 1


def test_cast_contrast_colour_brightness_clipping():
    base = scene()
    mean = base.mean()
    assert rated(base + np.array([30, 0, -30]), "cast") > rated(base, "cast") + 15
    assert rated(mean + (base - mean) / 2, "contrast") == pytest.approx(rated(base, "contrast") / 2, rel=0.02)
    grey = np.repeat(base.mean(axis=-1, keepdims=True), 3, axis=-1)
    assert rated(grey, "colourfulness") == pytest.approx(0, abs=0.01)
    assert rated(base + 40, "brightness") > rated(base, "brightness")
    assert rated(base * 3, "clipping") > rated(base, "clipping")


def test_colourfulness_as_published():
    """Hasler and Süsstrunk's M3 on two colours, computed by hand: pure red beside pure green."""
    halves = np.zeros((32, 32, 3))
    halves[:, :16, 0] = halves[:, 16:, 1] = 255
    spread, mean = 255, 127.5  # of red - green: ±255; of yellow - blue: 127.5 everywhere
    assert rated(halves, "colourfulness") == pytest.approx(spread + 0.3 * mean, rel=1e-4)


@pytest.mark.parametrize("colour", ["black", "white", (10, 200, 30)])
@pytest.mark.parametrize("size", [(16, 16), (16, 500), (333, 17)])
def test_finite_for_a_constant_image(colour, size):
    values = measure(Image.new("RGB", size, colour))
    assert tuple(values) == MEASURES
    assert all(type(value) is float and math.isfinite(value) for value in values.values())
    expected = {"sharpness": 0, "noise": 0, "contrast": 0, "blockiness": 1, "banding": 0, "blur": 1}
    assert {key: values[key] for key in expected} == pytest.approx(expected, abs=1e-6)  # float32 luma


def test_fast_enough_for_every_image_of_a_set():
    source = image(scene())
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        measure(source)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.02  # about 2 ms on a free core


def test_four_megapixels():
    assert all(map(math.isfinite, measure(image(np.tile(scene(512), (4, 4, 1)))).values()))
