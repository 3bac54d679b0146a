"""Your own images, refused: with file, row and expectation, in one line, before anything is copied."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.ingest.samples import ingest
from m3agiqa.errors import InputError
from tests.own_images import HEADER, read


def refusal(source, scale=(0, 5)):
    with pytest.raises(InputError) as error:
        read(source, scale)
    assert "\n" not in str(error.value)
    return str(error.value)


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
        (f"{HEADER}\na.png,x,\n", "row 2: no image with a MOS, in this row or another"),
        (f'{HEADER}\na.png,x,"3,5"\n', "row 2: mos_quality is '3,5'"),
        (f"{HEADER},std_quality\na.png,x,1,-1\n", "row 2: std_quality is '-1', expected nothing or 0 to 5"),
        (f"{HEADER},std_quality\na.png,x,1,much\n", "row 2: std_quality is 'much'"),
        (f"{HEADER}\na.png,x,1\nb.png,x,1\na.png,y,2\n", "row 4: name 'a.png' occurs in row 2 already"),
        (f"{HEADER},published_split\na.png,x,1,dev\n", "row 2: in the published split it is 'dev', expected train"),
        (f"{HEADER},published_split\na.png,x,1,test\nb.png,x,1,\n", "row 3: in the published split it is ''"),
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


def test_a_bad_image_is_refused_with_its_row(folder):
    source = folder(f"{HEADER}\na.png,x,1\nb.png,x,1\n")
    whole = (source / "images/b.png").read_bytes()
    for content, expected in {b"": "empty", whole[:-30]: "truncated", b"text": "not an image"}.items():
        (source / "images/b.png").write_bytes(content)
        message = refusal(source)
        assert "row 3: " in message
        assert "b.png" in message
        assert expected in message


def test_a_link_to_nothing(folder):
    source = folder(f"{HEADER}\na.png,x,1\n")
    image = source / "images/a.png"
    image.rename(source / "images/real.png")
    image.symlink_to("real.png")
    assert len(read(source)) == 1
    assert not (source.parent / "out/images/a.png").is_symlink()

    (source / "images/real.png").unlink()
    assert "does not exist" in refusal(source)


def test_copies_must_not_land_in_the_source(folder):
    source = folder(f"{HEADER}\na.png,x,1\n")
    for out in (source, source / "out", source.parent):
        with pytest.raises(InputError, match="keep your images outside"):
            ingest("folder", [source], out, scale=(0, 5))
    assert len(list((source / "images").iterdir())) == 3
