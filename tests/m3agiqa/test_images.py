"""Every image comes in as upright, opaque, eight-bit RGB, or is refused with one line."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from m3agiqa.errors import InputError
from m3agiqa.images import MAX_PIXELS, MAX_TEXT, image_size, load_image, pixels_sha256

SMOOTH = np.stack(np.broadcast_arrays(*np.ogrid[0:200:5, 0:200:5], 128), axis=2).astype(np.uint8)  # (40, 40, 3)
NOISE = np.random.default_rng(0).integers(0, 256, (40, 32, 3), dtype=np.uint8)


def png(path, width, height, *, depth=8, colour=2, content=None):
    """A PNG by hand: Pillow cannot write every kind that exists."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    if content is None:
        channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
        content = b"".join(b"\0" + bytes(width * channels * depth // 8) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(content)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def refusal(path):
    with pytest.raises(InputError) as error:
        load_image(path)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


@pytest.mark.parametrize("extension", ["png", "bmp", "webp", "tiff"])
def test_lossless_formats_come_through_exactly(tmp_path, extension):
    path = tmp_path / f"image.{extension}"
    Image.fromarray(NOISE).save(path, **({"lossless": True} if extension == "webp" else {}))
    image = load_image(path)
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), NOISE)


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA"])
def test_modes_with_one_meaning_are_converted(tmp_path, mode):
    source = Image.fromarray(NOISE).convert(mode)
    source.save(tmp_path / "image.png")
    image = load_image(tmp_path / "image.png")
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), np.asarray(source.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_shows_white(tmp_path, mode):
    if mode == "P":
        Image.new("P", (20, 20), 0).save(tmp_path / "image.png", transparency=0)
    else:
        Image.new(mode, (20, 20), (0,) * len(mode)).save(tmp_path / "image.png")
    assert load_image(tmp_path / "image.png").getcolors() == [(400, (255, 255, 255))]


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° to the right
    Image.fromarray(NOISE).save(tmp_path / "image.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "image.png")), np.rot90(NOISE, -1))


@pytest.mark.parametrize("beside", ["text", "unicode text", "profile"])
def test_megabytes_of_text_or_profile_are_no_damage(tmp_path, beside):
    """Workflows of generators, and what editors write: above the 1 MB at which Pillow stops."""
    content = np.random.default_rng(1).integers(32, 127, 3 * 2**20, dtype=np.uint8).tobytes()
    kept = PngInfo()
    if beside == "text":
        kept.add_text("workflow", content.decode(), zip=True)
    elif beside == "unicode text":
        kept.add_itxt("workflow", content.decode(), zip=True)
    path = tmp_path / "image.png"
    Image.fromarray(NOISE).save(path, pnginfo=kept, icc_profile=content if beside == "profile" else None)
    np.testing.assert_array_equal(np.asarray(load_image(path)), NOISE)


@pytest.mark.parametrize("texts", [1, 3], ids=["one", "several"])
def test_text_that_explodes_is_refused(tmp_path, texts):
    kept = PngInfo()
    for number in range(texts):
        kept.add_text(f"text {number}", "a" * (MAX_TEXT // texts + 1000), zip=True)
    Image.fromarray(NOISE).save(tmp_path / "image.png", pnginfo=kept)
    assert (tmp_path / "image.png").stat().st_size < 200_000
    assert "more than 64 MB of text or profile" in refusal(tmp_path / "image.png")


def test_one_picture_is_one_whatever_its_file(tmp_path):
    other = NOISE.copy()
    other[3, 4, 2] ^= 1
    kept = PngInfo()
    kept.add_text("prompt", "a black picture")
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    Image.fromarray(NOISE).save(tmp_path / "b.png", pnginfo=kept)
    Image.fromarray(NOISE).save(tmp_path / "c.bmp")
    Image.fromarray(other).save(tmp_path / "d.png")
    Image.fromarray(NOISE.reshape(32, 40, 3)).save(tmp_path / "e.png")
    found = [pixels_sha256(load_image(path)) for path in sorted(tmp_path.iterdir())]
    assert found[0] == found[1] == found[2]
    assert len(set(found)) == 3


def test_the_size_is_told_by_the_header_alone(tmp_path):
    path = tmp_path / "cut.png"
    Image.new("RGB", (40, 24), "red").save(path)
    path.write_bytes(path.read_bytes()[:60])
    assert image_size(path) == (40, 24)
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"cut.png: not an image"):
        image_size(path)
    with pytest.raises(InputError, match="no such image file"):
        image_size(tmp_path / "absent.png")


def test_missing(tmp_path):
    assert "no such image" in refusal(tmp_path / "nothing.png")
    assert "no such image" in refusal(tmp_path)


def test_zero_byte(tmp_path):
    (tmp_path / "image.png").touch()
    assert "empty" in refusal(tmp_path / "image.png")


@pytest.mark.parametrize("content", [b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"GIF89a", bytes(1000)])
def test_not_an_image(tmp_path, content):
    (tmp_path / "image.png").write_bytes(content)
    refusal(tmp_path / "image.png")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (15, 400), (400, 15)])
def test_too_small(tmp_path, width, height):
    Image.new("RGB", (width, height)).save(tmp_path / "image.png")
    assert f"{width} x {height} is too small" in refusal(tmp_path / "image.png")


def test_cmyk(tmp_path):
    Image.new("CMYK", (20, 20)).save(tmp_path / "image.jpg")
    assert "CMYK" in refusal(tmp_path / "image.jpg")


@pytest.mark.parametrize("colour", [0, 2, 4, 6])  # grey, RGB, and both with alpha
def test_16_bit(tmp_path, colour):
    png(tmp_path / "image.png", 20, 20, depth=16, colour=colour)
    assert "8 bits" in refusal(tmp_path / "image.png")


def test_avif_is_read(tmp_path):
    Image.fromarray(SMOOTH).save(tmp_path / "image.avif", quality=95)
    image = load_image(tmp_path / "image.avif")
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image).astype(int) - SMOOTH).max() < 12


@pytest.mark.parametrize("at", [81, -40])
def test_a_damaged_avif_is_one_line(tmp_path, at):
    Image.fromarray(SMOOTH).save(tmp_path / "image.avif")
    content = bytearray((tmp_path / "image.avif").read_bytes())
    content[at : at + 30] = bytes(30)
    (tmp_path / "image.avif").write_bytes(content)
    assert "damaged" in refusal(tmp_path / "image.avif") or "not an image" in refusal(tmp_path / "image.avif")


def test_of_a_phones_pictures_in_one_jpeg_the_first_is_taken(tmp_path):
    first, preview = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (20, 20), "green")
    first.save(tmp_path / "photo.jpg", format="MPO", save_all=True, append_images=[preview])
    first.save(tmp_path / "alone.jpg")
    with Image.open(tmp_path / "photo.jpg") as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    assert pixels_sha256(load_image(tmp_path / "photo.jpg")) == pixels_sha256(load_image(tmp_path / "alone.jpg"))


@pytest.mark.parametrize(("mode", "why"), [("I;16", "8 bits"), ("F", "8 bits"), ("CMYK", "CMYK")])
def test_tiffs_whose_look_is_not_certain(tmp_path, mode, why):
    Image.new(mode, (20, 20)).save(tmp_path / "image.tiff")
    assert why in refusal(tmp_path / "image.tiff")


@pytest.mark.parametrize("extension", ["gif", "png", "webp", "avif", "tiff"])
def test_animated(tmp_path, extension):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "green")]
    frames[0].save(tmp_path / f"image.{extension}", save_all=True, append_images=frames[1:])
    assert "animated" in refusal(tmp_path / f"image.{extension}")


def test_a_gif_of_one_frame_is_an_image(tmp_path):
    Image.new("RGB", (20, 20), "red").save(tmp_path / "image.gif")
    assert load_image(tmp_path / "image.gif").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("side", [10_000, 12_000, 60_000])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    """The pixel data is one byte, so that decoding would complain of damage instead."""
    png(tmp_path / "image.png", side, side, content=b"\0")
    assert f"{MAX_PIXELS:,} pixels" in refusal(tmp_path / "image.png")


@pytest.mark.parametrize(
    "options",
    [{"format": "PNG"}, {"format": "JPEG"}, {"format": "JPEG", "progressive": True}, {"format": "WEBP"}],
    ids=["png", "jpeg", "progressive", "webp"],
)
def test_truncated_anywhere_is_refused_or_harmless(tmp_path, options):
    """Cut at any length: either refused, or every pixel is as it was."""
    whole = io.BytesIO()
    Image.fromarray(NOISE).save(whole, **options)
    expected = np.asarray(Image.open(whole).convert("RGB"))
    refused = 0
    lengths = range(1, len(whole.getvalue()), 23)
    for length in lengths:
        path = tmp_path / f"{length}.img"
        path.write_bytes(whole.getvalue()[:length])
        try:
            image = load_image(path)
        except InputError:
            refused += 1
        else:
            np.testing.assert_array_equal(np.asarray(image), expected)
    assert refused >= len(lengths) - 2


def test_damage_never_escapes_as_another_error(tmp_path):
    rng = np.random.default_rng(1)
    for name in ("PNG", "JPEG", "WEBP", "BMP", "GIF"):
        whole = io.BytesIO()
        Image.fromarray(NOISE).save(whole, format=name)
        for number in range(40):
            content = bytearray(whole.getvalue())
            for place in rng.integers(0, min(len(content), 400), 6):
                content[place] = rng.integers(256)
            path = tmp_path / f"{number}.{name}"
            path.write_bytes(content)
            try:
                message = load_image(path).mode
            except InputError as error:
                message = str(error)
            assert "\n" not in message
