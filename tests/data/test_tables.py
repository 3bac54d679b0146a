import numpy as np
import pandas as pd
import pytest

from data.tables.frames import (
    SAMPLE_COLUMNS,
    aspects_of,
    check_samples,
    joined,
    read_samples,
    read_table,
    require_aspect,
    write_table,
)
from m3agiqa.errors import InputError


def samples(**changes):
    frame = pd.DataFrame({column: ["a", "b", "c"] for column in SAMPLE_COLUMNS})
    return frame.assign(mos_quality=[0.0, 2.5, 5.0], std_quality=[0.5, 0.0, np.nan]).assign(**changes)


def test_reads_back_what_was_written_sorted(tmp_path):
    frame = samples(prompt=["", "κόσμος\n一", 'a "b", c'])
    write_table(frame.iloc[::-1], tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "table.parquet"), frame)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    write_table(samples(), tmp_path / "one.parquet")
    write_table(samples().sample(frac=1, random_state=1), tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_writing_refuses_two_rows_for_an_image(tmp_path):
    with pytest.raises(ValueError, match="twice"):
        write_table(samples(image_id=["a", "a", "b"]), tmp_path / "table.parquet")
    assert not list(tmp_path.iterdir())


def test_reading_names_what_is_missing(tmp_path):
    write_table(samples(), tmp_path / "table.parquet")
    with pytest.raises(InputError, match=r"table\.parquet: missing column word; it has image_id, path"):
        read_table(tmp_path / "table.parquet", ["prompt", "word"])
    with pytest.raises(InputError, match="no such table"):
        read_table(tmp_path / "other.parquet")


def test_a_torn_table_is_refused(tmp_path):
    write_table(samples(), tmp_path / "table.parquet")
    whole = (tmp_path / "table.parquet").read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        (tmp_path / "table.parquet").write_bytes(whole[:length])
        with pytest.raises(InputError, match="not a readable Parquet"):
            read_table(tmp_path / "table.parquet")


def test_samples_in_canonical_form():
    frame = samples(extra=1, mos_correspondence=[1, 2, 3], std_correspondence=np.nan)
    checked = check_samples(frame.iloc[::-1, ::-1], "set")
    labels = ["mos_quality", "std_quality", "mos_correspondence", "std_correspondence"]
    assert list(checked.columns) == [*SAMPLE_COLUMNS, *labels]
    assert list(checked["image_id"]) == ["a", "b", "c"]
    assert checked["mos_correspondence"].dtype == "float64"
    pd.testing.assert_frame_equal(check_samples(checked, "set"), checked)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"image_id": ["a", "b", "b"]}, "image_id occurs twice for image 'b'"),
        ({"image_id": ["a", "b", ""]}, "image_id is empty"),
        ({"mos_quality": [0, 5.1, 2]}, "mos_quality is not a number from 0 to 5 for image 'b'"),
        ({"mos_quality": [0, -0.1, 2]}, "mos_quality is not"),
        ({"mos_quality": [0, np.nan, 2]}, "no aspect has a MOS for image 'b'"),
        ({"mos_quality": [0, np.inf, 2]}, "mos_quality is not"),
        ({"std_quality": [0, -0.1, 2]}, "std_quality is not"),
        ({"std_quality": [0, np.inf, 2]}, "std_quality is not"),
        ({"prompt": ["a", None, "c"]}, "prompt is not text"),
        ({"generator": ["a", 3, "c"]}, "generator is not text"),
    ],
)
def test_bad_samples_are_refused(changes, complaint):
    with pytest.raises(InputError, match=complaint) as error:
        check_samples(samples(**changes), "the set")
    assert str(error.value).startswith("the set: ")


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (samples().drop(columns="prompt"), "missing column prompt"),
        (samples().drop(columns="std_quality"), "missing column std_quality"),
        (samples().drop(columns=["mos_quality", "std_quality"]), "no MOS column"),
        (samples().iloc[:0], "no images"),
    ],
)
def test_incomplete_samples_are_refused(frame, complaint):
    with pytest.raises(InputError, match=complaint):
        check_samples(frame, "the set")


def test_aspects():
    frame = samples(mos_authenticity=1.0, mos_appeal=1.0)
    assert aspects_of(frame) == ("quality", "authenticity")
    require_aspect(frame, "authenticity")
    with pytest.raises(InputError, match="no aspect 'correspondence', only quality, authenticity"):
        require_aspect(frame, "correspondence")
    with pytest.raises(InputError, match="unknown aspect 'appeal', expected one of quality"):
        require_aspect(frame, "appeal")


def test_joined():
    splits = pd.DataFrame({"image_id": ["c", "b", "a"], "split": ["test", "val", "train"]})
    both = joined(samples(), splits)
    assert list(both["split"]) == ["train", "val", "test"]
    with pytest.raises(InputError, match="differ in 1 images, such as 'a'"):
        joined(samples(), splits.iloc[:2])
    with pytest.raises(InputError, match="unknown split 'tset'"):
        joined(samples(), splits.assign(split="tset"))


def test_an_aspect_with_a_split_of_its_own():
    splits = pd.DataFrame({"image_id": ["a", "b", "c"], "split": "train", "split_quality": ["test", "val", "train"]})
    assert list(joined(samples(), splits)["split"]) == ["train"] * 3
    both = samples(mos_correspondence=1.0)
    assert list(joined(both, splits, "correspondence")["split"]) == ["train"] * 3
    assert list(joined(both, splits, "quality")["split"]) == ["test", "val", "train"]


def test_an_image_that_was_not_rated_on_an_aspect_is_no_sample_of_it():
    frame = samples(mos_authenticity=[1.0, np.nan, 2.0], std_authenticity=np.nan)
    checked = check_samples(frame, "set")
    splits = pd.DataFrame({"image_id": ["a", "b", "c"], "split": ["train", "train", "test"]})
    assert list(joined(checked, splits, "authenticity")["image_id"]) == ["a", "c"]
    assert list(joined(checked, splits, "quality")["image_id"]) == ["a", "b", "c"]
    with pytest.raises(InputError, match=r"no image of val has a MOS of authenticity"):
        joined(checked, splits.assign(split=["train", "val", "test"]), "authenticity")


def test_only_the_columns_that_are_asked_for_are_read(tmp_path):
    write_table(samples(mos_authenticity=1.0), tmp_path / "table.parquet")
    assert list(read_table(tmp_path / "table.parquet", ["prompt", "image_id"])) == ["image_id", "prompt"]
    read = read_samples(tmp_path / "table.parquet", "authenticity", ["path"])
    assert sorted(read) == ["image_id", "mos_authenticity", "path"]
    with pytest.raises(InputError, match=r"no aspect 'correspondence', only quality, authenticity"):
        read_samples(tmp_path / "table.parquet", "correspondence", ["path"])
