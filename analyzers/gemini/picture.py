"""An image as it is sent to a service: as people saw it, and no larger than a request may be.

A file that every program shows alike is sent as it is: nothing is encoded, and a JPEG is a fifth of what it would be
as a PNG. Of any other one, what m3agiqa/images.py makes of it is sent as a PNG.
"""

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from m3agiqa.images import load_image

MOST_PIXELS_A_SIDE = 2048  # a request may hold 20 MB, and this much noise as PNG is 17 MB in base64
MOST_BYTES = 14_000_000  # of a file, 19 MB in base64
# What a file may say besides its pixels without being shown otherwise for it: no rotation, profile or gamma, and no
# words, because all that is said about an image is in the request's text.
JFIF = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression"}
HARMLESS = {*JFIF, "dpi", "interlace", "srgb"}


@dataclass(frozen=True)
class Picture:
    """An image file and its media type."""

    data: bytes
    mime: str


def picture(path: Path) -> Picture:
    """The image at `path`, to be sent.

    Raises:
        InputError: as data.images.load_image.
    """
    image = load_image(path)
    with Image.open(path) as file:
        if file.format and _plain(file) and path.stat().st_size <= MOST_BYTES:
            return Picture(path.read_bytes(), Image.MIME[file.format])
    encoded = io.BytesIO()
    image.thumbnail((MOST_PIXELS_A_SIDE, MOST_PIXELS_A_SIDE))
    image.save(encoded, "PNG", compress_level=1)
    return Picture(encoded.getvalue(), Image.MIME["PNG"])


def _plain(file: Image.Image) -> bool:
    if file.format not in ("JPEG", "PNG") or file.mode != "RGB" or max(file.size) > MOST_PIXELS_A_SIDE:
        return False
    file.load()  # a PNG may say things after its pixels
    return file.info.keys() <= HARMLESS
