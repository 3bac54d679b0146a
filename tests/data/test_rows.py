import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.tables import rows
from data.tables.frames import joined, read_table, write_table
from data.tables.rows import joined_rows, row_writer
from m3agiqa.errors import InputError

COLUMNS = {"image_id": str, "text": str, "seen": bool}
TABLES = st.dictionaries(st.text(min_size=1, max_size=4), st.tuples(st.text(max_size=9), st.booleans()), max_size=9)


def write(path, table):
    with row_writer(path, COLUMNS) as add:
        for image_id, (text, seen) in sorted(table.items()):
            add({"image_id": image_id, "text": text, "seen": seen})


@settings(deadline=None)
@given(table=TABLES, group=st.integers(1, 9))
def test_rows_come_back_however_many_are_kept_in_memory(tmp_path_factory, table, group):
    folder = tmp_path_factory.mktemp("rows")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rows, "ROW_GROUP", group)
        write(folder / "table", table)
        write(folder / "again", table)
    expected = sorted((image_id, *values) for image_id, values in table.items())
    assert list(read_table(folder / "table").itertuples(index=False, name=None)) == expected
    assert (folder / "table").read_bytes() == (folder / "again").read_bytes()


def test_the_bytes_are_those_of_a_whole_table(tmp_path):
    table = {str(number): (f"ball {number}", number % 3 == 0) for number in range(10_000, 12_500)}
    write(tmp_path / "rows", table)
    frame = pd.DataFrame([(image_id, *values) for image_id, values in table.items()], columns=list(COLUMNS))
    write_table(frame, tmp_path / "frame")
    assert (tmp_path / "rows").read_bytes() == (tmp_path / "frame").read_bytes()


def test_an_error_leaves_no_table(tmp_path):
    with row_writer(tmp_path / "unsorted", COLUMNS) as add:
        add({"image_id": "b", "text": "", "seen": True})
        with pytest.raises(ValueError, match="image_id 'a' after 'b'"):
            add({"image_id": "a", "text": "", "seen": True})
    with pytest.raises(InputError), row_writer(tmp_path / "failed", COLUMNS):
        raise InputError
    assert [path.name for path in tmp_path.iterdir()] == ["unsorted"]


def test_joined_rows_are_those_of_joined(tmp_path):
    samples = pd.DataFrame({"image_id": ["c", "a", "b"], "mos_quality": [1.0, 2.0, float("nan")]})
    splits = pd.DataFrame({"image_id": ["b", "c", "a"], "split": ["test", "val", "train"]})
    write_table(samples, tmp_path / "samples")
    write_table(splits, tmp_path / "splits")
    both = pd.DataFrame(joined_rows(tmp_path / "samples", tmp_path / "splits"))
    expected = joined(read_table(tmp_path / "samples"), read_table(tmp_path / "splits"))
    pd.testing.assert_frame_equal(both, expected)

    write_table(splits.iloc[1:], tmp_path / "fewer splits")
    write_table(samples.iloc[:1], tmp_path / "fewer samples")
    with pytest.raises(InputError, match="differ in image 'b'"):
        list(joined_rows(tmp_path / "samples", tmp_path / "fewer splits"))
    with pytest.raises(InputError, match="differ in image 'a'"):
        list(joined_rows(tmp_path / "fewer samples", tmp_path / "splits"))
    write_table(splits.assign(split="tset"), tmp_path / "odd")
    with pytest.raises(InputError, match="unknown split 'tset'"):
        list(joined_rows(tmp_path / "samples", tmp_path / "odd"))
    with pytest.raises(InputError, match="no such table"):
        list(joined_rows(tmp_path / "none", tmp_path / "splits"))
