"""Which images are unlike the training images, by rules that can be stated in a line each.

A head gives any image a score; nothing in the score tells that the image is of a kind it has never seen. So each image
is compared with the training images, and what is outside of what they were gets a warning beside its score:

- size and shape: number of pixels and width / height, outside of the training images' range;
- colour and contrast: below the least of any training image (a grey photograph, an empty page);
- what the MLLM sees: the statistics of the hidden states lie farther from the training images' than those of all but
  1 % of the validation images do. A distance with a conformal threshold (Bates et al., Annals of Statistics 2023): an
  image like the others gets this warning once in a hundred times, or with n < 99 validation images once in n + 1. The
  distance is Mahalanobis's with the training images' variances alone, which the head holds anyway.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from m3agiqa.head.model import Head, statistics


class Limits(NamedTuple):
    """The lowest and the highest value among the training images."""

    low: float
    high: float


SIDE = 192  # colour and contrast are measured on a copy of at most this side: pixels enough, and quick
SLACK = 0.02  # of a limit: a size that differs by a rounding is no other size


def facts(image: Image.Image) -> dict[str, float]:
    """What the limits are about, of an RGB image; colour and contrast from 0 to 1."""
    width, height = image.size
    small = image.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    rgb = np.asarray(small, dtype=np.float32) / 255  # (H, W, 3)
    return {
        "pixels": float(width * height),
        "aspect_ratio": width / height,
        "colour": float((rgb.max(axis=2) - rgb.min(axis=2)).mean()),
        "contrast": float(rgb.mean(axis=2).std()),
    }


def limits_of(images: Iterable[Mapping[str, float]]) -> dict[str, Limits]:
    """The lowest and the highest of each fact among the training images."""
    table = list(images)
    return {name: Limits(min(row[name] for row in table), max(row[name] for row in table)) for name in table[0]}


def strange_pixels(found: Mapping[str, float], limits: Mapping[str, Limits]) -> list[str]:
    """A warning for each fact outside of its limits."""

    def outside(name: str) -> bool:
        low, high = limits[name]
        return not low * (1 - SLACK) <= found[name] <= high * (1 + SLACK)

    warnings = []
    if outside("pixels"):
        low, high = limits["pixels"]
        warnings.append(f"size: {found['pixels']:,.0f} pixels; trained on {_span(low, high, ',.0f')}")
    if outside("aspect_ratio"):
        low, high = limits["aspect_ratio"]
        warnings.append(f"shape: width / height is {found['aspect_ratio']:.2f}; trained on {_span(low, high, '.2f')}")
    if found["colour"] < limits["colour"][0] * (1 - SLACK):
        warnings.append("colour: greyer than every training image")
    if found["contrast"] < limits["contrast"][0] * (1 - SLACK):
        warnings.append("contrast: flatter than every training image")
    return warnings


def distance(head: Head, states: Tensor, mask: Tensor, description: Tensor) -> Tensor:
    """(B, T, D) and the two masks that a head takes -> (B,), in standard deviations; 1 is usual."""
    moments = statistics(states.float(), mask, description)  # (B, 4 D)
    return ((moments - head.image_mean) * head.image_scale).square().mean(dim=1).sqrt()


def _span(low: float, high: float, form: str) -> str:
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"
