"""Which images are unlike the training images, by rules that can be stated in a line each.

A head gives any image a score; nothing in the score tells that the image is of a kind it has never seen. So each image
is compared with the training images, and what is outside of what they were gets a warning beside its score:

- size and shape: number of pixels and width / height, outside of the training images' range;
- colour and contrast: below the least of any training image (a grey photograph, an empty page);
- what the MLLM sees: the mean of its hidden states at the image's tokens lies farther from the training images' than
  that of all but 1 % of the validation images. A distance with a conformal threshold (Bates et al., Annals of
  Statistics 2023): an image like the others gets this warning once in a hundred times, or with n < 99 validation images
  once in n + 1. The distance is Mahalanobis's with the training images' variances alone. The image stands before the
  question, so that nothing that is asked of it changes what is looked at here.

A judge that people's ratings taught warns. One that knows rendered scenes alone gives no score to an image that is
warned of: m3agiqa/scorer.py.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, NamedTuple

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from m3agiqa.head.model import masked_mean
from m3agiqa.strict import Strict


class Limits(NamedTuple):
    """The lowest and the highest value among the training images."""

    low: float
    high: float


class Content(Strict):
    """What the training images look like to the MLLM, and how far from that is too far."""

    tokens: Annotated[int, Field(gt=0)]  # of a sequence: the image, and what a chat template puts before it
    mean: tuple[float, ...]  # (D,) over the training images
    scale: tuple[float, ...]  # (D,) 1 / standard deviation
    distance: Annotated[float, Field(ge=0)]


CONTENT = "content: unlike the training images, as the MLLM sees them"
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


def kinds(warnings: Iterable[str]) -> str:
    """What the warnings are about, in a word each."""
    return ", ".join(warning.partition(":")[0] for warning in warnings)


def content_of(states: Tensor, mask: Tensor, tokens: int) -> Tensor:
    """(B, T, D), (B, T) -> (B, D): what the MLLM sees of each image, the mean over the first `tokens` tokens."""
    return masked_mean(states[:, :tokens].float(), mask[:, :tokens])


def distance(states: Tensor, mask: Tensor, content: Content) -> Tensor:
    """(B, T, D), (B, T) -> (B,), in standard deviations of the training images; 1 is usual."""
    mean, scale = (torch.tensor(values, device=states.device) for values in (content.mean, content.scale))  # (D,)
    return ((content_of(states, mask, content.tokens) - mean) * scale).square().mean(dim=1).sqrt()


def is_far(states: Tensor, mask: Tensor, content: Content) -> Tensor:
    """(B, T, D), (B, T) -> (B,): whether an image is unlike the training images, as the MLLM sees them."""
    return distance(states, mask, content) > content.distance


def _span(low: float, high: float, form: str) -> str:
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"
