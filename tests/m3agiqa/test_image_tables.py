"""Tables of images in each format that people have: the same rows, and what is wrong in one line."""

import csv
import json
import sys
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m3agiqa.errors import InputError
from m3agiqa.image_list import from_table
from m3agiqa.tables import table_rows

ROWS = [{"image": "a.png", "prompt": "a cat", "note": "x"}, {"image": "b.png", "prompt": "", "note": "=1+1"}]


def written(folder, suffix, rows):
    path = folder / f"asked{suffix}"
    if suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".ndjson", ".parquet", ".CSV"])
def test_every_format_says_the_same(tmp_path, suffix):
    images = from_table(written(tmp_path, suffix.lower(), ROWS).rename(tmp_path / f"table{suffix}"))
    assert [(image.name, image.prompt, image.columns) for image in images] == [
        (row["image"], row["prompt"], {"note": row["note"]}) for row in ROWS
    ]
    assert images[0].path == tmp_path / "a.png"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_columns_are_called_as_one_says(tmp_path, suffix):
    rows = [{"file": "a.png", "text": "a cat", "image": "no path", "prompt": "no prompt"}]
    (image,) = from_table(written(tmp_path, suffix, rows), image="file", prompt="text")
    assert (image.name, image.prompt) == ("a.png", "a cat")
    assert image.columns == {"image": "no path", "prompt": "no prompt"}
    for column in ("image", "prompt"):
        with pytest.raises(InputError, match="expected a column other; it has file, text, image, prompt"):
            from_table(tmp_path / f"asked{suffix}", **{column: "other"})


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_without_images_names_what_it_has(tmp_path, suffix):
    with pytest.raises(InputError, match="expected a column image or name; it has picture, prompt"):
        from_table(written(tmp_path, suffix, [{"picture": "a.png", "prompt": "x"}]))


def test_values_are_as_json_has_them(tmp_path):
    row = {"image": "a.png", "n": 3, "x": 0.5, "gone": float("nan"), "none": None, "day": date(2026, 1, 2)}
    row |= {"yes": True, "tags": ["a", "b"], "at": {"x": 1}, "thumbnail": b"abc"}
    (image,) = from_table(written(tmp_path, ".parquet", [row]))
    assert image.columns == {
        "n": 3,
        "x": 0.5,
        "gone": None,
        "none": None,
        "day": "2026-01-02",
        "yes": True,
        "tags": ["a", "b"],
        "at": {"x": 1},
        "thumbnail": "3 bytes",
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", r"line 2: not JSON"),
        pytest.param("[" * 100_000, r"line 2: not JSON \(nested deeper than 100\)", id="deeper"),
        pytest.param(
            f'{{"image": "a.png", "x": {"[" * 900}{"]" * 900}}}',
            r"line 2: not JSON \(nested deeper than 100\)",
            id="deep",
        ),
        ('{"image": "a.png", "image": "b.png"}', r"line 2: not JSON \('image' is there twice\)"),
        ('{"pic\\nture": 1}', r"line 2: expected a column image or name; it has picture$"),
        ("[1]", r"line 2: expected an object in braces"),
        ('{"prompt": "x"}', r"line 2: expected a column image or name; it has prompt"),
        ("{}", r"line 2: expected a column image or name; it has none"),
        ('{"image": 3}', r"line 2: image is a int, expected a path"),
        ('{"image": " "}', r"line 2: image is empty, expected a path"),
        ('{"image": null}', r"line 2: image is empty, expected a path"),
        ('{"image": "a.png", "prompt": 3}', r"line 2: prompt is a int, expected text"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, expected):
    (tmp_path / "asked.jsonl").write_text(f'{{"image": "a.png"}}\n{line}\n')
    with pytest.raises(InputError, match=expected):
        from_table(tmp_path / "asked.jsonl")


@pytest.mark.parametrize("content", [b"\xff\xfe", b'{"image": "caf\xe9.png"}\n'])
def test_a_table_in_another_encoding_is_refused(tmp_path, content):
    (tmp_path / "asked.jsonl").write_bytes(content)
    with pytest.raises(InputError, match="line 1: not JSON"):
        from_table(tmp_path / "asked.jsonl")


def test_empty_lines_count_and_hold_nothing(tmp_path):
    (tmp_path / "asked.jsonl").write_text('\n{"image": "a.png"}\n\n{"name": "b.png"}\n')
    assert [(row.where, row.values) for row in table_rows(tmp_path / "asked.jsonl")] == [
        (f"{tmp_path}/asked.jsonl, line 2", {"image": "a.png"}),
        (f"{tmp_path}/asked.jsonl, line 4", {"name": "b.png"}),
    ]


def test_what_is_no_parquet_is_said(tmp_path):
    (tmp_path / "asked.parquet").write_bytes(b"image\na.png\n")
    with pytest.raises(InputError, match="not readable as Parquet"):
        from_table(tmp_path / "asked.parquet")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([3_000_000], pa.date32()),  # a day beyond the year 9999
        pa.array([b"caf\xe9"]).view(pa.string()),
        pa.array([0], pa.timestamp("s", tz="Nowhere/Here")),
    ],
)
def test_values_that_python_has_not_are_said(tmp_path, column):
    pq.write_table(pa.table({"image": ["a.png"], "x": column}), tmp_path / "asked.parquet")
    with pytest.raises(InputError, match="not readable as Parquet"):
        from_table(tmp_path / "asked.parquet")


def test_two_columns_of_one_name_are_refused(tmp_path):
    pq.write_table(pa.table([["a.png"], ["b.png"]], ["image", "image"]), tmp_path / "asked.parquet")
    with pytest.raises(InputError, match="two columns are called 'image'"):
        from_table(tmp_path / "asked.parquet")


def test_json_that_is_one_list_is_refused(tmp_path):
    (tmp_path / "asked.json").write_text(json.dumps(ROWS))
    with pytest.raises(InputError, match=r"expected JSON lines, an object a line, in a file that ends in \.jsonl"):
        from_table(tmp_path / "asked.json")


def test_without_pyarrow_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    table = written(tmp_path, ".parquet", ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=r"asked\.parquet: Parquet needs pyarrow.*m3agiqa\[parquet\]"):
        from_table(table)


TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)
NAMED = TEXT.filter(str.strip)


@given(rows=st.lists(st.fixed_dictionaries({"image": NAMED, "prompt": TEXT, "note": TEXT}), min_size=1, max_size=5))
def test_any_text_comes_through_every_format(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("tables")
    for suffix in (".csv", ".jsonl", ".parquet"):
        images = from_table(written(folder, suffix, rows))
        found = [{"image": each.name, "prompt": each.prompt, **each.columns} for each in images]
        assert found == rows
