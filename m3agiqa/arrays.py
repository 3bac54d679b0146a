"""Images as numbers, made what a saved PNG of them would be: eight bits a channel, so that the score is that file's.

| what                                            | which numbers                |
|-------------------------------------------------|------------------------------|
| NumPy array (H, W), (H, W, 3) or (H, W, 4)      | uint8, 0 to 255              |
| PyTorch tensor (3, H, W) or (1, H, W)           | floating, 0 to 1; any device |

Other numbers are refused: whether 0 to 255, -1 to 1 or a logarithm was meant, they do not say.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from m3agiqa.errors import InputError

ROUNDING = 1e-3  # how far beyond 0 or 1 what a network puts out may lie


def image_of(numbers: Any) -> Image.Image | None:
    """The image, or None for what is no array and no tensor.

    Raises:
        InputError: of another shape or with other numbers than the table above says.
    """
    if isinstance(numbers, Tensor):
        return Image.fromarray(_eight_bits(numbers))
    if isinstance(numbers, np.ndarray):
        shape = numbers.shape
        if numbers.dtype != np.uint8 or not (len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))):
            expected = "(H, W), (H, W, 3) or (H, W, 4) of uint8"
            raise InputError(f"image: expected an array {expected}, not {shape} of {numbers.dtype}")
        return Image.fromarray(numbers)
    return None


def _eight_bits(tensor: Tensor) -> NDArray[np.uint8]:
    """(C, H, W) in 0 to 1 -> (H, W, 3), or (H, W) if grey."""
    shape, kind = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
    if not tensor.is_floating_point() or len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(f"image: expected a tensor (3, H, W) or (1, H, W) of floats, not {shape} of {kind}")
    values = tensor.detach().float()
    if not bool(((values >= -ROUNDING) & (values <= 1 + ROUNDING)).all()):  # NaN is neither
        raise InputError("image: a tensor with values outside 0 to 1")
    pixels: NDArray[np.uint8] = (values.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return pixels[:, :, 0] if shape[0] == 1 else np.ascontiguousarray(pixels)
