"""Your own images: what reads in, and what becomes of it."""

import csv
import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from data.ingest.samples import ingest
from data.tables.frames import read_table, write_table
from tests.own_images import HEADER, read

REAL = Path(__file__).resolve().parents[4] / "shared/data/avt-ai-dev"


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


def test_somebodys_own_split_comes_along(folder):
    source = folder(f"{HEADER},published_split\na.png,x,1,train\nb.png,x,1, test\n")
    read(source)
    own = read_table(source.parent / "out/published_split.parquet").set_index("image_id")["split"]
    assert own.to_dict() == {"a": "train", "b": "test"}


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


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6), shares=st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_rescaling_stays_in_range_and_in_order(folder, low, width, shares):
    high = low + width
    given_mos = [min(low + share * (high - low), high) for share in shares]
    rows = "".join(f"{name}.png,x,{mos!r}\n" for name, mos in zip("abc", given_mos, strict=True))
    rescaled = list(read(folder(f"{HEADER}\n{rows}"), scale=(low, high))["mos_quality"])
    assert all(0 <= mos <= 5 for mos in rescaled)
    assert np.array_equal(np.argsort(given_mos, kind="stable"), np.argsort(rescaled, kind="stable"))


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
