"""Tables with the images in them, as Hugging Face's `datasets` writes them: Parquet, Arrow, a folder of it."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from m3agiqa.errors import InputError
from m3agiqa.image_list import from_table
from m3agiqa.tables import _at_once, table_rows
from m3agiqa.unpacked import Unpacked

STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})
ROWS = [
    {"image": {"bytes": b"one", "path": "a/1.png"}, "prompt": "a cat", "label": 1},
    {"image": {"bytes": b"two", "path": None}, "prompt": None, "label": 2},
    {"image": {"bytes": None, "path": "b.png"}, "prompt": "a dog", "label": 3},
]
SCHEMA = pa.schema({"image": STRUCT, "prompt": pa.string(), "label": pa.int64()})


def written(folder, kind, rows=ROWS, schema=SCHEMA):
    """A table of one kind; of a stream of Arrow, a batch a row."""
    path, table = folder / f"t.{kind.removeprefix('file.')}", pa.Table.from_pylist(rows, schema)
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        new = pa.ipc.new_file if kind == "file.arrow" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as sink, new(sink, schema) as writer:
            writer.write_table(table, max_chunksize=1)
    return path


def saved(folder, *names):
    """As save_to_disk of datasets 5.2 lays it out; all else that it says is not looked at."""
    folder.mkdir()
    for name in names:
        written(folder, "arrow").rename(folder / name)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "e0c848e0a47c80cb", "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    return folder


def said(images):
    return [(each.name, each.prompt, each.columns, each.held and each.path.read_bytes()) for each in images]


def expected(file):
    return [
        ("a/1.png", "a cat", {"label": 1}, b"one"),
        (f"{file}, row 2", "", {"label": 2}, b"two"),
        ("b.png", "a dog", {"label": 3}, None),
    ]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "file.arrow"])
def test_images_in_a_column_come_out(tmp_path, kind):
    path = written(tmp_path, kind)
    images = from_table(path, Unpacked(tmp_path / "unpacked"))
    assert said(images) == expected(path.name)
    assert images[2].path == tmp_path / "b.png"  # a path without an image in it is one beside the table


def test_a_column_of_bytes_alone_is_one_of_images(tmp_path):
    schema = pa.schema({"picture": pa.large_binary()})
    path = written(tmp_path, "parquet", [{"picture": b"one"}], schema)
    assert said(from_table(path, Unpacked(tmp_path / "unpacked"), image="picture")) == [
        ("t.parquet, row 1", "", {}, b"one")
    ]


def test_a_saved_folder_is_its_files_in_order(tmp_path):
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    images = from_table(saved(tmp_path / "saved", *names), Unpacked(tmp_path / "unpacked"))
    assert said(images) == [row for name in names for row in expected(f"saved/{name}")]


def test_a_folder_of_splits_asks_for_one(tmp_path):
    saved(tmp_path / "test", "data-00000-of-00001.arrow")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["test", "train"]}')
    with pytest.raises(InputError, match=rf"has the splits test, train; take one, such as {tmp_path}/test$"):
        from_table(tmp_path)


@pytest.mark.parametrize(
    "state",
    [
        "{",
        "[]",
        '{"_data_files": []}',
        '{"_data_files": [{"filename": "../other.arrow"}]}',
        '{"_data_files": [{"filename": ".."}]}',
        '{"_data_files": [{"filename": 5}]}',
        '{"_data_files": ["data.arrow"]}',
        "[" * 100_000,
    ],
)
def test_a_folder_that_is_not_as_datasets_writes_it_is_refused(tmp_path, state):
    (tmp_path / "state.json").write_text(state)
    with pytest.raises(InputError, match=r"state\.json: not as `datasets` writes it"):
        from_table(tmp_path)


def test_another_folder_is_no_table(tmp_path):
    with pytest.raises(InputError, match=r"expected a table, or a folder that `datasets` has saved .*--folder takes"):
        from_table(tmp_path)
    saved(tmp_path / "saved", "data.arrow")
    (tmp_path / "saved/data.arrow").unlink()
    with pytest.raises(InputError, match=r"data\.arrow: not readable as Arrow"):
        from_table(tmp_path / "saved")


@pytest.mark.parametrize("keep", [0, 4, 100, 700, -300])
@pytest.mark.parametrize("kind", ["arrow", "file.arrow"])
def test_arrow_that_is_cut_is_refused(tmp_path, kind, keep):
    path = written(tmp_path, kind, ROWS * 50)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"t\.arrow: not readable as Arrow \(") as error:
        list(table_rows(path))
    assert "\n" not in str(error.value)


def test_a_stream_that_is_cut_between_its_pieces_is_refused(tmp_path):
    path = written(tmp_path, "arrow")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"t\.arrow: not readable as Arrow \(cut off: its end is missing\)"):
        list(table_rows(path))


def test_arrow_that_lies_about_where_its_values_are_is_refused(tmp_path):
    """Without a look at it, Arrow reads what lies beyond the file."""
    path = written(tmp_path, "arrow", [{"image": None, "prompt": "marked", "label": 7}])
    content = path.read_bytes()
    at = content.rindex(b"marked")  # before it stand the offsets 0 and 6
    offsets = content.rindex((6).to_bytes(4, "little"), 0, at)
    path.write_bytes(content[:offsets] + (10**6).to_bytes(4, "little") + content[offsets + 4 :])
    with pytest.raises(InputError, match="not readable as Arrow"):
        list(table_rows(path))


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (STRUCT, None, "empty"),
        (STRUCT, {"bytes": None, "path": None}, "empty"),
        (STRUCT, {"bytes": None, "path": " "}, "empty"),
        (pa.struct({"bytes": pa.string(), "path": pa.string()}), {"bytes": "x", "path": "a.png"}, "a dict"),
        (pa.struct({"x": pa.int64()}), {"x": 1}, "a dict"),
        (pa.list_(pa.binary()), [b"one", b"two"], "a list"),
    ],
)
def test_what_is_no_image_in_a_column_is_said(tmp_path, kind, value, found):
    path = written(tmp_path, "parquet", [{"image": value}], pa.schema({"image": kind}))
    with pytest.raises(InputError, match=rf"row 1: image is {found}, expected a path or, in Parquet, an image's bytes"):
        from_table(path, Unpacked(tmp_path / "unpacked"))


def test_without_a_place_for_them_images_in_a_table_are_refused(tmp_path):
    with pytest.raises(InputError, match="row 1: image is an image, expected a path"):
        from_table(written(tmp_path, "parquet"))


@pytest.mark.parametrize(
    ("rows", "size", "together"), [(1_000, 1_000, 1_000), (100, 10**9, 1), (10, 0, 1_000), (0, 0, 1)]
)
def test_rows_with_large_images_are_few_at_once(rows, size, together):
    assert _at_once(rows, size) == together


def test_a_tar_is_no_table(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"")
    with pytest.raises(InputError, match="a tar is no table; --tar reads it"):
        from_table(tmp_path / "a.tar.gz")
