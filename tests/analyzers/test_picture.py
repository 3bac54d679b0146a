"""What is sent of an image shows what people saw, and is the file itself where that shows nothing else."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from analyzers.gemini import picture as pictures
from analyzers.gemini.picture import picture
from m3agiqa.errors import InputError
from m3agiqa.images import load_image


def seen(kind: str = "RGB", size: tuple[int, int] = (40, 24)) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(kind)


def words() -> PngInfo:
    info = PngInfo()
    info.add_text("parameters", "a red ball, masterpiece")
    return info


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def transparent() -> Image.Image:
    image = seen("RGBA")
    image.putalpha(90)
    return image


@pytest.mark.parametrize(
    ("name", "save", "mime"),
    [
        ("a.png", lambda path: seen().save(path), "image/png"),
        ("a.jpg", lambda path: seen().save(path, quality=90, dpi=(72, 72)), "image/jpeg"),
        ("progressive.jpg", lambda path: seen().save(path, progressive=True), "image/jpeg"),
        ("called.jpg", lambda path: seen().save(path, "PNG"), "image/png"),
        ("turned.jpg", lambda path: seen().save(path, exif=turned()), None),
        ("turned.png", lambda path: seen().save(path, exif=turned()), None),
        ("words.png", lambda path: seen().save(path, pnginfo=words()), None),
        ("words.jpg", lambda path: seen().save(path, comment=b"a red ball"), None),
        ("profile.png", lambda path: seen().save(path, icc_profile=b"x" * 200), None),
        ("grey.jpg", lambda path: seen("L").save(path), None),
        ("palette.png", lambda path: seen("P").save(path), None),
        ("transparent.png", lambda path: transparent().save(path), None),
        ("a.webp", lambda path: seen().save(path, lossless=True), None),
        ("a.bmp", lambda path: seen().save(path), None),
    ],
)
def test_it_shows_what_people_saw(tmp_path, name: str, save: Callable, mime: str | None):
    """`mime` is that of a file that is sent as it is."""
    path = tmp_path / name
    save(path)
    sent = picture(path)
    assert (sent.data == path.read_bytes()) == (mime is not None)
    assert sent.mime == (mime or "image/png")
    with Image.open(io.BytesIO(sent.data)) as image:
        assert Image.MIME[image.format] == sent.mime
        assert image.mode == "RGB"
        assert np.array_equal(image, load_image(path))


def test_no_request_is_too_large(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    seen(size=(64, 40)).save(path)
    monkeypatch.setattr(pictures, "MOST_BYTES", 100)
    assert picture(path).data != path.read_bytes()
    monkeypatch.setattr(pictures, "MOST_PIXELS_A_SIDE", 32)
    with Image.open(io.BytesIO(picture(path).data)) as image:
        assert image.size == (32, 20)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "a.png"
    seen().save(path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError, match=r"a\.png: damaged or truncated"):
        picture(path)
