"""For the tests of your own images: a folder of them."""

import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """Write a folder with images a.png, b.png, c.png and the given csv; return it."""
    source = tmp_path / "source"
    (source / "images").mkdir(parents=True)
    for number, name in enumerate("abc"):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(source / "images" / f"{name}.png")

    def write(text):
        (source / "data.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return source

    return write
