"""What somebody wants scored: the rows of a table, the images of a folder."""

import os
import unicodedata
from pathlib import Path

import pytest

from m3agiqa.errors import InputError
from m3agiqa.image_list import from_folder, from_table


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"some")


def test_of_a_folder_its_images_alone(tmp_path):
    write(tmp_path, "b.PNG", "a.jpg", "._a.jpg", ".hidden.png", "notes.txt", "x.png/inside.png")
    (tmp_path / "gone.webp").symlink_to("nowhere.webp")
    (tmp_path / "link.png").symlink_to("a.jpg")
    (tmp_path / "folder.png").symlink_to("x.png")
    write(tmp_path, "deep/er/c.avif", ".cache/d.png", "deep/.e.png", "deep/readme")
    names = ["a.jpg", "b.PNG", "deep/er/c.avif", "gone.webp", "link.png", "x.png/inside.png"]
    assert [image.name for image in from_folder(tmp_path).images] == names
    assert [image.path for image in from_folder(tmp_path).images] == [tmp_path / name for name in names]
    assert from_folder(tmp_path).others == [tmp_path / name for name in ("deep/readme", "folder.png", "notes.txt")]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    write(tmp_path, "a.png", "shut/b.png")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read whatever its mode says
    with pytest.raises(InputError, match=r"shut: not to be read \(Permission denied\)"):
        from_folder(tmp_path)


def test_a_folder_of_what_a_mac_leaves_holds_no_images(tmp_path):
    write(tmp_path, "._a.jpg", "x.png/inside.txt")
    with pytest.raises(InputError, match="no images here"):
        from_folder(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "image,prompt,,\na.png,x,,\n,,,\nb.png,y,,\n,,,\n",
        "image,prompt\na.png,x,,\n , \nb.png,y\n",
        ",\nimage,prompt\n\na.png,x\nb.png,y\n",
        ",image,prompt,\n0,a.png,x,\n1,b.png,y,a note\n",
    ],
)
def test_rows_and_columns_that_hold_nothing(tmp_path, text):
    (tmp_path / "asked.csv").write_text(text)
    assert [(image.name, image.prompt) for image in from_table(tmp_path / "asked.csv")] == [
        ("a.png", "x"),
        ("b.png", "y"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image,prompt\na.png,x,y\n", "row 2: 3 fields, expected 2"),
        ("image,prompt\n\na.png\n", "row 3: 1 fields, expected 2"),
        ("image,prompt\n,x\n", "row 2: image is empty"),
        ("\nprompt,prompt,image\n", "row 2: two columns are called 'prompt'"),
        (",,\n,,\n", "row 1: expected a column image or name; it has none"),
        ("image,prompt\n,\n", "no rows, expected one for each image"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, text, expected):
    (tmp_path / "asked.csv").write_text(text)
    with pytest.raises(InputError, match=expected):
        from_table(tmp_path / "asked.csv")


@pytest.mark.parametrize("folder", ["", "images/"])
def test_a_name_in_another_unicode_form_is_the_same(tmp_path, folder):
    composed, decomposed = (unicodedata.normalize(form, "Bälle.png") for form in ("NFC", "NFD"))
    for there, written in ((composed, decomposed), (decomposed, composed)):
        write(tmp_path, folder + there)
        (tmp_path / "asked.csv").write_text(f"image\n{written}\n")
        (image,) = from_table(tmp_path / "asked.csv")
        assert image.name == written
        assert image.path == tmp_path / folder / there
        image.path.unlink()
