"""Images reduced and put into a page itself, so that the page is one file and loads nothing."""

import base64
import io
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from m3agiqa.images import load_image

QUALITY = 80  # of the JPEG


class Thumbnail(NamedTuple):
    """A small copy of an image."""

    source: str  # a data: address
    size: tuple[int, int]  # width, height in pixels


def thumbnail(path: Path | str, side: int) -> Thumbnail:
    """The image at `path`, its longer side at most `side` pixels.

    Raises:
        InputError: as m3agiqa.images.load_image.
    """
    return reduced(load_image(path), side)


def reduced(image: Image.Image, side: int) -> Thumbnail:
    """Of an image that is open already, and stays as it is."""
    image = image.copy()
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    with io.BytesIO() as buffer:
        image.save(buffer, "JPEG", quality=QUALITY)
        encoded = base64.b64encode(buffer.getvalue()).decode()
    return Thumbnail(f"data:image/jpeg;base64,{encoded}", image.size)
