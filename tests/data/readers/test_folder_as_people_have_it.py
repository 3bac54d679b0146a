"""Folders as people really have them: links, names from a Mac, images that nobody rated, rows that hold nothing."""

import shutil
import unicodedata
import zipfile

import numpy as np
import pytest
from PIL import Image

from data.download.local_files import look_at
from data.download.sources import fetch
from data.ingest.samples import ingest
from m3agiqa.errors import InputError
from tests.own_images import HEADER, read

NFC, NFD = (unicodedata.normalize(form, "Bälle.png") for form in ("NFC", "NFD"))


@pytest.mark.parametrize("linked", ["images", "images/a.png", "data.csv", "."])
def test_a_link_to_another_place_is_followed_and_its_changes_are_seen(folder, tmp_path, linked):
    source = folder(f"{HEADER}\na.png,x,1\n")
    moved = tmp_path / "elsewhere" / (source / linked).name
    moved.parent.mkdir()
    (source / linked).rename(moved)
    (source / linked).symlink_to(moved)
    frame = read(source)
    assert list(frame["image_id"]) == ["a"]
    assert not (tmp_path / "out/images/a.png").is_symlink()
    before = look_at(str(source))
    assert before.files == 4
    (source / "images/a.png").resolve().write_bytes(b"another")
    assert look_at(str(source)) != before


def test_a_link_into_a_circle_ends(folder):
    source = folder(f"{HEADER}\na.png,x,1\n")
    (source / "images/again").symlink_to("..")
    assert len(read(source)) == 1
    assert look_at(str(source)).files == 4


@pytest.mark.parametrize(("there", "written"), [(NFD, NFC), (NFC, NFD)], ids=["a Mac's zip", "a Mac's table"])
def test_a_name_in_another_unicode_form_is_the_same(folder, there, written):
    source = folder(f"{HEADER}\n{written},x,1\na.png,y,2\n")
    shutil.copy(source / "images/b.png", source / "images" / there)
    frame = read(source)
    assert sorted(frame["mos_quality"]) == [1, 2]


def test_where_both_forms_are_there_each_is_itself(folder):
    source = folder(f"{HEADER}\n{NFC},x,1\n{NFD},y,2\n")
    for shade, name in enumerate((NFC, NFD)):
        Image.new("RGB", (16, 16), (shade, 9, 9)).save(source / "images" / name)
    frame = read(source)
    assert frame["pixels"].nunique() == 2


def test_a_zip_made_on_a_mac(folder, tmp_path):
    """Names in UTF-8, in NFD, and no flag that says so; for each file one more with what only a Mac wants to know."""
    source = folder(f"{HEADER}\n{NFC},x,1\n")
    name = NFD.encode()
    plain = "x" * len(name)  # zipfile sets the flag where a name is not ASCII
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as file:
        for place, path in {"data.csv": source / "data.csv", f"images/{plain}": source / "images/a.png"}.items():
            file.writestr(place, path.read_bytes())
            file.writestr(f"__MACOSX/._{place}", b"\0\5\x16\7")
    content = (tmp_path / "mac.zip").read_bytes()
    (tmp_path / "mac.zip").write_bytes(content.replace(plain.encode(), name))
    roots = fetch([str(tmp_path / "mac.zip")], tmp_path / "scratch")
    samples, _ = ingest("folder", roots, tmp_path / "out", scale=(0, 5))
    assert list(samples["path"]) == [f"images/{NFC}"]


def test_what_a_mac_leaves_is_no_archive(folder, tmp_path):
    source = folder(f"{HEADER}\na.png,x,1\n")
    (source / "._set.zip").write_bytes(b"\0\5\x16\7")
    assert fetch([str(source)], tmp_path / "scratch") == [source]


def test_an_image_without_a_rating_is_left_out_of_that_aspect_alone(folder, tmp_path):
    source = folder("name,prompt,mos_quality,std_quality,mos_authenticity\na.png,x,1,.5,\nb.png,x, ,,3\nc.png,x,,,\n")
    samples, about = ingest("folder", [source], tmp_path / "out", scale=(1, 5))
    assert list(samples["image_id"]) == ["a", "b"]
    np.testing.assert_allclose(samples["mos_quality"], [0, np.nan])
    np.testing.assert_allclose(samples["std_quality"], [0.625, np.nan])
    np.testing.assert_allclose(samples["mos_authenticity"], [np.nan, 2.5])
    assert about["left_out"] == {"no MOS": 1}
    assert about["unrated"] == {"quality": 1, "authenticity": 1}


def test_an_aspect_that_nobody_rated_is_none(folder):
    assert "mos_authenticity" not in read(folder(f"{HEADER},mos_authenticity\na.png,x,1,\nb.png,x,2,\n"))


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER},,\na.png,x,1,,\nb.png,y,2,,\n,,,,\n,,,,\n",
        f"{HEADER}\na.png,x,1,,\n , ,\nb.png,y,2\n",
        f",,\n{HEADER},\na.png,x,1\nb.png,y,2,a note\n",
    ],
    ids=["a spreadsheet's range", "fields beyond the last column", "an empty row first"],
)
def test_rows_and_columns_that_hold_nothing(folder, text):
    frame = read(folder(text))
    assert list(frame["prompt"]) == ["x", "y"]


def test_what_stands_beyond_the_last_column_is_not_nothing(folder):
    with pytest.raises(InputError, match=r"row 2: 4 fields, expected 3 as in the header"):
        read(folder(f"{HEADER}\na.png,x,y,1\n"))
    with pytest.raises(InputError, match=r"row 4: mos_quality is 'much'"):
        read(folder(f"{HEADER},\na.png,x,1,\n,,,\nb.png,y,much,\n"))


def test_a_picture_that_is_there_twice_is_counted_however_its_file_was_written(folder, tmp_path):
    source = folder(f"{HEADER}\na.png,x,1\nb.png,X.,2\nc.bmp,y,3\n")
    image = Image.open(source / "images/a.png")
    image.save(source / "images/c.bmp")
    samples, about = ingest("folder", [source], tmp_path / "out", scale=(0, 5))
    assert about["repeated"] == {"pictures": 1, "prompts": 1}
    by_id = samples.set_index("image_id")
    assert by_id["pixels"]["a"] == by_id["pixels"]["c"] != by_id["pixels"]["b"]
    assert by_id["sha256"].nunique() == 3
