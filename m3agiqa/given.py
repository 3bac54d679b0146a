"""Images and prompts as callers give them: in any sequence, of any kind; what is not usable is one line.

A process that opens files, and no more, does not load torch for it.
"""

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from m3agiqa.errors import InputError
from m3agiqa.images import DAMAGE, decode_image, header_size, image_size, load_image, plain_image

if TYPE_CHECKING:
    from torch import Tensor

AnyImage: TypeAlias = "Image.Image | Path | str | bytes | np.ndarray | Tensor"

NOT_KNOWN = ("None", "nan", "<NA>", "NaT")  # as Python, NumPy and pandas write what is not there
LONGEST = 300  # characters of a status: a data: address in the place of a path may have millions


@dataclass(frozen=True)
class Opened:
    """An image with its prompt, read once for all aspects; or why it cannot be."""

    image: Image.Image | None
    prompt: str | None
    failure: str = ""  # where one of them is None

    @classmethod
    def of(cls, image: AnyImage, prompt: str | None, *, name: str = "image") -> "Opened":
        """Whatever they come as; no error is raised. `name` is what a failure calls bytes."""
        text: str | None = None
        try:
            text = text_of(prompt)
            return cls(open_image(image, name), text)
        except InputError as error:
            return cls(None, text, f"failed: {error}")


def listed(given: Iterable[Any], what: str) -> list[Any]:
    """The items in their order, whatever labels a sequence has beside them: pandas' columns count by position.

    Images may be a batch in one array or tensor, (B, H, W, C) or (B, C, H, W).

    Raises:
        InputError: a single item, a mapping, or something with more than one dimension such as a data frame.
    """
    kind, dimensions = type(given).__name__, getattr(given, "ndim", 1)
    is_list = dimensions == 1 or (dimensions == 4 and what == "images")
    if isinstance(given, (str, bytes, bytearray, os.PathLike, Image.Image, Mapping)) or not is_list:
        raise InputError(f"{what}: expected a list of them, not {_a(kind)}")
    try:
        return list(given)
    except TypeError:
        raise InputError(f"{what}: expected a list of them, not {_a(kind)}") from None


def rows_of(images: Iterable[AnyImage], prompts: Iterable[str | None] | None) -> tuple[list[Any], list[Any]]:
    """Images and prompts by position, as many of the one as of the other.

    Raises:
        InputError: as `listed`.
        ValueError: not as many.
    """
    pictures = listed(images, "images")
    asked = listed(prompts, "prompts") if prompts is not None else [None] * len(pictures)
    if len(asked) != len(pictures):
        raise ValueError(f"{len(pictures)} images and {len(asked)} prompts")
    return pictures, asked


def open_image(image: Any, name: str = "image") -> Image.Image:
    """The image, RGB, whatever it comes as; m3agiqa/images.py says what is refused. `name` is what errors call bytes.

    Raises:
        InputError: it cannot be had, or is nothing of AnyImage.
    """
    try:
        if isinstance(image, (bytes, bytearray)):
            return decode_image(io.BytesIO(image), name)
        if isinstance(image, Image.Image):
            return plain_image(image, "image")
        if isinstance(image, (str, os.PathLike)):
            return load_image(Path(image))
        from m3agiqa.arrays import image_of  # noqa: PLC0415 (it brings torch)

        if (made := image_of(image)) is not None:
            return plain_image(made, "image")
    except InputError as error:
        raise InputError(brief(str(error))) from None
    except DAMAGE as error:  # a path too long for a file's, or a file that Pillow has opened and not decoded yet
        called = str(image) if isinstance(image, (str, os.PathLike)) else name
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{brief(called)}: not to be opened ({why})") from None
    raise InputError(
        f"image: expected a path, bytes, an array, a tensor or Pillow's image, not {_a(type(image).__name__)}"
    )


def size_of(image: Any) -> tuple[int, int] | None:
    """Width and height in pixels, as a header or a shape tells; None of what is not to be opened."""
    try:
        if isinstance(image, (bytes, bytearray)):
            return header_size(io.BytesIO(image), "image")
        if isinstance(image, (str, os.PathLike)):
            return image_size(Path(image))
        if isinstance(image, Image.Image):
            return image.size
        height, width = image.shape[:2] if isinstance(image, np.ndarray) else image.shape[1:]
    except (InputError, AttributeError, *DAMAGE):
        return None
    return int(width), int(height)


def text_of(prompt: Any) -> str:
    """The prompt; "" for one that is not known.

    Raises:
        InputError: neither text nor nothing.
    """
    if isinstance(prompt, str):
        try:
            prompt.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"prompt: character {error.start + 1} is no Unicode text") from None
        return str(prompt)
    if str(prompt) in NOT_KNOWN:
        return ""
    raise InputError(f"prompt: expected text, not {_a(type(prompt).__name__)}")


def brief(text: str) -> str:
    """Its beginning and its end, if it is long."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 3]} … {text[-LONGEST // 3 :]}"


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
