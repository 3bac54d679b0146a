"""The one door through which images come in: eight-bit RGB, or one clear line that says what is wrong.

A score is about what people saw, so an image is taken only where it is certain what they saw:

| what                         | rule                                                              |
|------------------------------|-------------------------------------------------------------------|
| grey, black-and-white        | converted: the same values in three channels                      |
| palette                      | converted: each index is an exact colour                          |
| transparency                 | laid on white, as a browser or a sheet of paper shows it          |
| EXIF orientation             | turned, as every viewer does                                      |
| several pictures in a JPEG   | the first, as every viewer shows it: phones add depth and previews |
| ICC profile                  | ignored: generators write sRGB                                    |
| text, a generator's workflow | ignored, and up to 64 MB of it: editors and ComfyUI write megabytes |
| CMYK and other inks          | refused: how it looks depends on a profile that we do not apply   |
| 16-bit, float                | refused: which part of the range was shown is not known           |
| AVIF of 10 or 12 bits        | as its decoder brings it to 8: the format says which range is shown |
| more than one picture        | refused: which one was rated is not known                         |
| a side below 16 pixels       | refused: nothing to rate, and less than one patch of a model      |
| more than 50 megapixels      | refused before anything is decoded: a small file can hide gigabytes |
| truncated, empty, not an image | refused: never a grey half                                      |
"""

import hashlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from m3agiqa.errors import InputError

MIN_SIDE = 16
MAX_PIXELS = 50_000_000
# Bytes of a PNG's text or profile, unpacked: Pillow stops at 1 MB, which editors exceed; a bomb would go on for ever.
MAX_TEXT = 64 * 2**20
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT
FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")
MODES = ("RGB", "RGBA", "L", "LA", "P", "1")
# What Pillow's decoders are known to raise on damaged files.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, RuntimeError, struct.error, zlib.error)


def load_image(path: Path | str) -> Image.Image:
    """The image at `path`, mode RGB, decoded, upright and opaque.

    Raises:
        InputError: missing, damaged, or of a kind that the table above refuses.
    """
    path = Path(path)
    with _file(path) as file:
        return decode_image(file, str(path))


def image_size(path: Path | str) -> tuple[int, int]:
    """Width and height of the image at `path` in pixels, as its header tells: nothing is decoded, nothing turned.

    Raises:
        InputError: missing, or no image.
    """
    path = Path(path)
    with _file(path) as file:
        return header_size(file, str(path))


def header_size(file: BinaryIO, name: str) -> tuple[int, int]:
    """The same as `image_size` of an open file; `name` is what errors call it."""
    with _opened(file, name) as image:
        return image.size


def decode_image(file: BinaryIO, name: str) -> Image.Image:
    """The same as `load_image` of an open file; `name` is what errors call it."""
    with _opened(file, name) as image:
        return plain_image(image, name)


def _file(path: Path) -> BinaryIO:
    if not path.is_file():
        raise InputError(f"{path}: no such image file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes)")
    return path.open("rb")


@contextmanager
def _opened(file: BinaryIO, name: str) -> Iterator[Image.Image]:
    """Pillow's image, and what goes wrong with it in one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd metadata; size is checked where it is decoded
        try:
            with Image.open(file, formats=FORMATS) as image:
                yield image
        except InputError:
            raise
        except Image.DecompressionBombError:
            raise InputError(f"{name}: more than {MAX_PIXELS:,} pixels; scale it down") from None
        except UnidentifiedImageError:
            raise InputError(f"{name}: not an image, or not one of {', '.join(FORMATS)}") from None
        except DAMAGE as error:
            if str(error).startswith(("Decompressed data too large", "Too much memory used in text")):
                raise InputError(f"{name}: more than {MAX_TEXT >> 20} MB of text or profile; save it without") from None
            raise InputError(f"{name}: damaged or truncated image ({' '.join(str(error).split())})") from None


def plain_image(image: Image.Image, name: str) -> Image.Image:
    """The same of an image that Pillow has opened already, whoever did."""
    _check_kind(image, name)
    image.load()
    return _to_rgb(image)


def pixels_sha256(image: Image.Image) -> str:
    """What the picture is, whatever file it stands in: SHA-256 over its size and its RGB values."""
    found = hashlib.sha256(f"{image.width} x {image.height}\n".encode())
    found.update(image.convert("RGB").tobytes())
    return found.hexdigest()


def _check_kind(image: Image.Image, name: str) -> None:
    """Refuse by the header alone, before any pixel is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width} x {height} is more than {MAX_PIXELS:,} pixels; scale it down")
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{name}: {width} x {height} is too small; each side needs at least {MIN_SIDE} pixels")
    if getattr(image, "is_animated", False) and image.format != "MPO":
        raise InputError(f"{name}: animated (more than one frame); save the frame that was rated as a PNG")
    # A 16-bit RGB file opens with mode RGB, cut to 8 bits; only the decoder's raw mode tells.
    tiles = getattr(image, "tile", ())  # an image that is no file has none
    if image.mode.startswith(("I", "F")) or any(";16" in str(tile.args) for tile in tiles):
        raise InputError(f"{name}: more than 8 bits a channel; convert it to 8-bit sRGB, as the raters saw it")
    if image.mode not in MODES:
        raise InputError(f"{name}: colour mode {image.mode}, expected RGB or grey; convert it to 8-bit sRGB")


def _to_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
