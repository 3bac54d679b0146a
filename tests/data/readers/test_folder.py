"""Your own images: what reads in, and what is refused, with file, row and expectation."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from data.ingest.samples import ingest
from data.tables.frames import read_table, write_table
from m3agiqa.errors import InputError

REAL = Path(__file__).resolve().parents[4] / "shared/data/avt-ai-dev"
HEADER = "name,prompt,mos_quality"


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


def read(source, scale=(0, 5)):
    return ingest("folder", [source], source.parent / "out", scale=scale)[0]


def refusal(source, scale=(0, 5)):
    with pytest.raises(InputError) as error:
        read(source, scale)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_table_made_to_score_with_will_do(folder):
    """The column `image`, its paths relative to the table."""
    frame = read(folder("image,prompt,mos_quality\nimages/a.png,x,1\nb.png,y,2\n"))
    assert list(frame["image_id"]) == ["a", "b"]
    assert list(frame["mos_quality"]) == [1, 2]


def test_reads_copies_and_rescales(folder):
    source = folder(
        "name,prompt,generator,comment,mos_correspondence,std_correspondence,mos_quality,likes\n"
        'b.png,"two, or ""three""\nballs",g1,quality: soft.,5,.8,1,7\n'
        "a.png,,g2,,3,,2,\n"
    )
    frame = read(source, scale=(1, 5))
    assert list(frame["image_id"]) == ["a", "b"]
    assert list(frame["prompt"]) == ["", 'two, or "three"\nballs']
    assert list(frame["comment"]) == ["", "quality: soft."]
    assert list(frame["mos_quality"]) == [1.25, 0]
    assert list(frame["mos_correspondence"]) == [2.5, 5]
    np.testing.assert_allclose(frame["std_correspondence"], [math.nan, 1])
    assert frame["std_quality"].isna().all()
    assert "mos_authenticity" not in frame
    for row in frame.itertuples():
        copy, original = source.parent / "out" / row.path, source / row.path
        assert copy.read_bytes() == original.read_bytes()
        assert copy.stat().st_ino != original.stat().st_ino
    write_table(frame, source.parent / "out/samples.parquet")
    pd.testing.assert_frame_equal(read_table(source.parent / "out/samples.parquet"), frame)


def test_images_of_an_earlier_set_are_removed(folder):
    read(folder(f"{HEADER}\na.png,x,1\nb.png,x,1\n"))
    read(folder(f"{HEADER}\nb.png,x,1\n"))
    assert [path.name for path in (folder("").parent / "out/images").iterdir()] == ["b.png"]


def test_progress_sees_every_image(folder):
    calls = []

    def progress(iterable, *, total, desc, unit):
        calls.append((total, desc, unit))
        return iterable

    source = folder(f"{HEADER}\na.png,x,1\nb.png,x,1\n")
    ingest("folder", [source], source.parent / "out", scale=(0, 5), progress=progress)
    assert calls == [(2, "read images", "images")]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["a.png", "b.png"], ["a", "b"]),
        (["a.png", "a.gif", "b.png"], ["a.gif", "a.png", "b"]),
        (["a.png", "a.gif", "a.png.gif"], ["a.gif", "a.png", "a.png.gif"]),
        (["a", "a.png"], ["a", "a.png"]),
        (["猫 1.png", "-rf.png", ".png"], ["-rf", ".png", "猫 1"]),
    ],
)
def test_image_ids_are_short_and_unique(folder, names, ids):
    source = folder(HEADER + "\n" + "".join(f"{name},x,1\n" for name in names))
    for name in names:
        (source / "images" / name).write_bytes((source / "images/b.png").read_bytes())
    assert list(read(source)["image_id"]) == ids


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
def test_line_ends_and_byte_order_mark(folder, newline, mark):
    rows = [HEADER, "a.png,一只猫,1", "", "b.png,кот,2", "", ""]
    frame = read(folder(mark + newline.join(rows).encode()))
    assert list(frame["prompt"]) == ["一只猫", "кот"]


prompts = st.text(st.characters(codec="utf-8"), max_size=30)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.tuples(prompts, prompts), min_size=3, max_size=3), crlf=st.booleans(), bom=st.booleans())
@example(texts=[("\ufeff", '"'), ("a\r\nb", ",;\t"), ("\x00", "\u2028\x85")], crlf=True, bom=True)
def test_any_text_comes_through_unchanged(folder, texts, crlf, bom):
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\r\n" if crlf else "\n", quoting=csv.QUOTE_ALL)
    writer.writerow(["name", "prompt", "comment", "mos_quality"])
    for name, (prompt, comment) in zip("abc", texts, strict=True):
        writer.writerow([f"{name}.png", prompt, comment, 1])
    frame = read(folder(table.getvalue().encode("utf-8-sig" if bom else "utf-8")))
    assert list(zip(frame["prompt"], frame["comment"], strict=True)) == texts


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60) | st.text('a."\n\r,12', max_size=40).map(lambda text: f"{HEADER}\n{text}".encode())
)
def test_any_bytes_read_in_or_are_refused(folder, content):
    try:
        message = f"data.csv: {len(read(folder(content)))} images"
    except InputError as error:
        message = str(error)
    assert "data.csv" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "data.csv: the file is empty"),
        (f"{HEADER}\n", "data.csv: a header and no rows"),
        ("name,mos_quality\na.png,1\n", "row 1: missing column 'prompt'"),
        ("prompt,mos_quality\nx,1\n", "row 1: missing column 'name'"),
        ("name;prompt;mos_quality\na.png;x;1\n", "row 1: missing column 'name'; it has 'name;prompt;mos_quality'"),
        ("name,prompt,mos_appeal\na.png,x,1\n", "row 1: no MOS column, expected at least one of mos_quality"),
        (f"{HEADER},prompt\na.png,x,1,y\n", "row 1: column 'prompt' occurs twice"),
        (f"{HEADER}\na.png,x\n", "row 2: 2 fields, expected 3"),
        (f"{HEADER}\na.png,x,1\nb.png,a, b,1\n", "row 3: 4 fields, expected 3"),
        (
            f'{HEADER}\na.png,"two\nlines",1\nb.png,x,5.5\n',
            "row 3: mos_quality is '5.5', expected a number from 0 to 5",
        ),
        (f"{HEADER}\na.png,x,1\n\nb.png,x,-1\n", "row 4: mos_quality is '-1'"),
        (f"{HEADER}\na.png,x,NaN\n", "row 2: mos_quality is 'NaN'"),
        (f"{HEADER}\na.png,x,inf\n", "row 2: mos_quality is 'inf'"),
        (f"{HEADER}\na.png,x,\n", "row 2: mos_quality is ''"),
        (f'{HEADER}\na.png,x,"3,5"\n', "row 2: mos_quality is '3,5'"),
        (f"{HEADER},std_quality\na.png,x,1,-1\n", "row 2: std_quality is '-1', expected nothing or 0 to 5"),
        (f"{HEADER},std_quality\na.png,x,1,much\n", "row 2: std_quality is 'much'"),
        (f"{HEADER}\na.png,x,1\nb.png,x,1\na.png,y,2\n", "row 4: name 'a.png' occurs in row 2 already"),
        (f"{HEADER}\n../data.csv,x,1\n", "row 2: name '../data.csv' is a path"),
        (f"{HEADER}\n..,x,1\n", "row 2: name '..' is a path"),
        (f"{HEADER}\n/etc/passwd,x,1\n", "row 2: name '/etc/passwd' is a path"),
        (f"{HEADER}\n..\\a.png,x,1\n", "row 2: name '..\\\\a.png' is a path"),
        (f"{HEADER}\nsub/a.png,x,1\n", "row 2: name 'sub/a.png' is a path"),
        (f"{HEADER}\n,x,1\n", "row 2: name is empty"),
        (f'{HEADER}\n"a\n.png",x,1\n', "row 2: name 'a\\n.png', expected printable"),
        (f"{HEADER}\na\0.png,x,1\n", "row 2: name 'a\\x00.png', expected printable"),
        (f"{HEADER}\n{'a' * 300},x,1\n", "at most 200 bytes"),
        (f"{HEADER}\nd.png,x,1\n", "row 2:"),
        (f'{HEADER}\na.png,"x"y,1\n', "row 2: not valid csv"),
        (f'{HEADER}\na.png,x,1\nb.png,"x,1\n', "row 3: not valid csv"),
        (f'{HEADER}\na.png,"two\nlines",1\nb.png,caf\xe9,1\n'.encode("latin-1"), "row 3: not UTF-8"),
        (f"{HEADER}\na.png,x,1\n".encode("utf-16"), "row 1: not UTF-8"),
    ],
)
def test_a_bad_csv_is_refused(folder, text, expected):
    assert expected in refusal(folder(text))


def test_nothing_is_copied_before_the_csv_is_right(folder):
    source = folder(f"{HEADER}\na.png,x,1\nb.png,x,9\n")
    refusal(source)
    assert not (source.parent / "out").exists()


def test_no_csv(folder):
    source = folder("")
    (source / "data.csv").unlink()
    assert "data.csv: no such file" in refusal(source)


def test_mos_must_lie_in_the_declared_scale(folder):
    source = folder(f"{HEADER}\na.png,x,0.5\n")
    assert "mos_quality is '0.5', expected a number from 1 to 5" in refusal(source, scale=(1, 5))
    assert list(read(source, scale=(-1, 2))["mos_quality"]) == [2.5]
    for scale in ((5, 1), (1, 1), (0, math.inf), (math.nan, 5)):
        assert "expected two numbers" in refusal(source, scale=scale)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6), shares=st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_rescaling_stays_in_range_and_in_order(folder, low, width, shares):
    high = low + width
    given_mos = [min(low + share * (high - low), high) for share in shares]
    rows = "".join(f"{name}.png,x,{mos!r}\n" for name, mos in zip("abc", given_mos, strict=True))
    rescaled = list(read(folder(f"{HEADER}\n{rows}"), scale=(low, high))["mos_quality"])
    assert all(0 <= mos <= 5 for mos in rescaled)
    assert np.array_equal(np.argsort(given_mos, kind="stable"), np.argsort(rescaled, kind="stable"))


def test_a_bad_image_is_refused_with_its_row(folder):
    source = folder(f"{HEADER}\na.png,x,1\nb.png,x,1\n")
    whole = (source / "images/b.png").read_bytes()
    for content, expected in {b"": "empty", whole[:-30]: "truncated", b"text": "not an image"}.items():
        (source / "images/b.png").write_bytes(content)
        message = refusal(source)
        assert "row 3: " in message
        assert "b.png" in message
        assert expected in message


def test_links(folder):
    source = folder(f"{HEADER}\na.png,x,1\n")
    image = source / "images/a.png"
    image.rename(source / "images/real.png")
    image.symlink_to("real.png")
    assert len(read(source)) == 1
    assert not (source.parent / "out/images/a.png").is_symlink()

    (source / "images/real.png").rename(source.parent / "outside.png")
    image.unlink()
    image.symlink_to("../../outside.png")
    assert "is a link out of" in refusal(source)
    (source.parent / "outside.png").unlink()
    assert "does not exist" in refusal(source)


def test_copies_must_not_land_in_the_source(folder):
    source = folder(f"{HEADER}\na.png,x,1\n")
    for out in (source, source / "out", source.parent):
        with pytest.raises(InputError, match="keep your images outside"):
            ingest("folder", [source], out, scale=(0, 5))
    assert len(list((source / "images").iterdir())) == 3


@pytest.mark.skipif(not REAL.is_dir(), reason="the AVT-AI images are not beside this repository")
def test_the_real_set_reads_in(tmp_path):
    frame, _ = ingest("folder", [REAL], tmp_path / "out", scale=(1, 5))
    assert len(frame) == 89
    assert frame["prompt"].nunique() == 18
    assert frame["generator"].nunique() == 5
    labels = pd.read_csv(REAL / "data.csv").assign(image_id=lambda table: table["name"].str.removesuffix(".jpg"))
    labels = labels.sort_values("image_id", ignore_index=True)
    for aspect in ("quality", "correspondence", "authenticity"):
        np.testing.assert_allclose(frame[f"mos_{aspect}"], (labels[f"mos_{aspect}"] - 1) * 1.25)
    assert len(list((tmp_path / "out/images").iterdir())) == 89
