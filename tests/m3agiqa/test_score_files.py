"""Scores as files: each format says the same, long or wide, with what else the user's table has of an image."""

import csv
import json
import os

import pyarrow.parquet as pq
import pytest

from m3agiqa.aspects import Scale
from m3agiqa.image_list import ListedImage
from m3agiqa.score import Interval, Score
from m3agiqa.score_files import ASKED, FOUND, Scored, write

FIELDS = (*ASKED, "aspect", *FOUND)
EVIL = "</style><script>document.title='got in'</script>\u202e\x1b[2J"


@pytest.fixture
def rows(tmp_path):
    found = []
    for number in range(4):
        scores = [
            Score(aspect, "ok", 2.5 + number, Interval(2, 5), "good", EVIL, (EVIL,))
            for aspect in ("quality", "authenticity")
        ]
        found.append(Scored(ListedImage(f"{number}{EVIL}.png", tmp_path / f"{number}.png", EVIL), scores))
    return [*found, Scored(ListedImage("bad.png", tmp_path / "bad.png", ""), [Score("quality", f"failed: {EVIL}")])]


def read(folder):
    """The CSV's rows and the JSON lines."""
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    return table, [json.loads(line) for line in (folder / "scores.jsonl").read_text(encoding="utf-8").splitlines()]


def test_csv_and_jsonl_say_the_same(rows, tmp_path):
    write(rows, tmp_path / "out")
    table, lines = read(tmp_path / "out")
    assert len(table) == len(lines) == 9
    assert tuple(table[0]) == tuple(lines[0]) == FIELDS
    for row, line in zip(table, lines, strict=True):
        assert row["prompt"] == line["prompt"]
        assert row["score"] == ("" if line["score"] is None else str(line["score"]))
    assert lines[-1] | {"status": ""} == dict.fromkeys(FIELDS) | {
        "image": "bad.png",
        "prompt": "",
        "aspect": "quality",
        "status": "",
        "warnings": [],
    }


@pytest.mark.parametrize("begins", ["=1+", "+1", "-", "@SUM", "\t=", "\r=", "\n=", "\0=", "＝", "＋", "－", "＠"])
def test_no_text_is_a_formula_in_a_spreadsheet(tmp_path, begins):
    """As OWASP advises on CSV injection; a score below 0 stays a number, and the JSONL what it was."""
    text = f"{begins}cmd|' /C calc'!A0"
    score = Score("quality", "ok", -1.5, (-2, 2), text, text, (text, "more"), Scale(-2, 2))
    write([Scored(ListedImage(text, tmp_path / "none.png", text), [score])], tmp_path)
    (row,), (line,) = read(tmp_path)
    for column in ("image", "prompt", "word", "description"):
        assert (row[column], line[column]) == (f"'{text}", text)
    assert (row["warnings"], line["warnings"]) == (f"'{text}; more", [text, "more"])
    assert (row["score"], row["low"], row["scale_low"]) == ("-1.5", "-2", "-2")


def test_ordinary_texts_are_as_they_are(rows, tmp_path):
    write(rows, tmp_path)
    assert "'" not in (tmp_path / "scores.csv").read_text(encoding="utf-8").replace("document.title='got in'", "")


def test_a_name_that_is_not_utf_8_is_written(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    listed = ListedImage(name, tmp_path / name, name, {name: name, "list": [name]})
    write([Scored(listed, [Score("quality", f"failed: {name}")])], tmp_path, parquet=True)
    _, (line,) = read(tmp_path)
    assert (line["image"], line["status"]) == (name, f"failed: {name}")  # the very name, to open the file with
    assert r"caf\udce9.png" in (tmp_path / "scores.csv").read_text(encoding="utf-8")
    (row,) = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    escaped = r"caf\udce9.png"
    assert (row["image"], row[escaped], json.loads(row["list"])) == (escaped, escaped, [name])


def two(tmp_path):
    """Two images of two aspects, with columns of the user's."""
    first = {"id": 7, "score": "mine", "given_score": 0.5, "=tags": ["a", "b"], "mixed": 1}
    second = {"id": 8, "score": None, "given_score": 1, "mixed": "x"}
    return [
        Scored(
            ListedImage(name, tmp_path / name, "a cat", columns),
            [Score("quality", "ok", 3.0, Interval(2, 4), "good", "Sharp."), Score("authenticity", "failed: why")],
        )
        for name, columns in (("a.png", first), ("b.png", second))
    ]


def test_the_users_columns_are_kept(tmp_path):
    write(two(tmp_path), tmp_path, parquet=True)
    table, lines = read(tmp_path)
    kept = ("id", "given_given_score", "given_score", "=tags", "mixed")
    assert tuple(lines[0]) == (*FIELDS, *kept)
    assert [tuple(line[name] for name in kept) for line in lines[::2]] == [
        (7, "mine", 0.5, ["a", "b"], 1),
        (8, None, 1, None, "x"),
    ]
    assert [line["score"] for line in lines] == [3.0, None, 3.0, None]
    assert [(row["id"], row["'=tags"], row["mixed"]) for row in table[::2]] == [("7", "a; b", "1"), ("8", "", "x")]
    found = pq.read_table(tmp_path / "scores.parquet")
    assert {
        name: str(found.schema.field(name).type) for name in ("id", "given_score", "score", "mixed", "warnings")
    } == {
        "id": "int64",
        "given_score": "double",
        "score": "double",
        "mixed": "string",
        "warnings": "list<element: string>",
    }
    as_json = {"=tags": json.dumps, "mixed": json.dumps}
    assert found.to_pylist() == [
        {name: as_json[name](value) if name in as_json and value is not None else value for name, value in line.items()}
        for line in lines
    ]


def test_wide_is_a_row_an_image(tmp_path):
    write(two(tmp_path), tmp_path / "long")
    write(two(tmp_path), tmp_path / "wide", wide=True, parquet=True)
    _, long = read(tmp_path / "long")
    table, wide = read(tmp_path / "wide")
    aspects = ("quality", "authenticity")
    assert tuple(wide[0]) == (
        *ASKED,
        *(f"{aspect}_{field}" for aspect in aspects for field in FOUND),
        *("id", "score", "given_score", "=tags", "mixed"),  # no column of ours is called so
    )
    assert len(table) == len(wide) == 2
    for row, line in enumerate(wide):
        for column, aspect in enumerate(aspects):
            told = long[2 * row + column]
            assert {field: line[f"{aspect}_{field}"] for field in FOUND} == {field: told[field] for field in FOUND}
    assert [row["quality_score"] for row in pq.read_table(tmp_path / "wide/scores.parquet").to_pylist()] == [3.0, 3.0]


def test_numbers_that_parquet_has_no_room_for_are_text(tmp_path):
    listed = ListedImage("a.png", tmp_path / "a.png", "", {"n": 2**70})
    write([Scored(listed, [Score("quality", "failed: x")])], tmp_path, parquet=True)
    assert pq.read_table(tmp_path / "scores.parquet").to_pylist()[0]["n"] == str(2**70)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ((2**60 + 1, 2**53), "int64", [2**60 + 1, 2**53]),
        ((2**53, 0.5), "double", [2.0**53, 0.5]),
        ((2**60 + 1, 0.5), "string", [str(2**60 + 1), "0.5"]),
        ((True, 1), "string", ["true", "1"]),
        ((True, None), "bool", [True, None]),
        ((None, None), "string", [None, None]),
    ],
)
def test_no_number_is_bent_to_fit_its_column(tmp_path, values, kind, expected):
    rows = [
        Scored(ListedImage("a.png", tmp_path / "a.png", "", {"n": value}), [Score("quality", "failed: x")])
        for value in values
    ]
    write(rows, tmp_path, parquet=True)
    found = pq.read_table(tmp_path / "scores.parquet")
    assert (str(found.schema.field("n").type), found["n"].to_pylist()) == (kind, expected)


def test_names_that_would_be_written_alike_stay_apart(tmp_path):
    columns = {"=x": 1, "'=x": 2, "\ud800": 3, r"\ud800": 4}
    write(
        [Scored(ListedImage("a", tmp_path / "a", "", columns), [Score("quality", "failed: x")])], tmp_path, parquet=True
    )
    ((row,), (line,)), parquet = read(tmp_path), pq.read_table(tmp_path / "scores.parquet").to_pylist()[0]
    kept = list(line)[len(FIELDS) :]
    assert [line[name] for name in kept] == [1, 2, 3, 4]
    assert (
        sorted(map(int, list(row.values())[len(FIELDS) :]))
        == sorted(list(parquet.values())[len(FIELDS) :])
        == [1, 2, 3, 4]
    )


def test_wide_has_every_aspect_that_any_image_has(rows, tmp_path):
    write(rows[::-1], tmp_path, wide=True, parquet=True)
    table, lines = read(tmp_path)
    assert len({tuple(line) for line in lines}) == 1
    assert (lines[0]["authenticity_score"], lines[1]["authenticity_score"]) == (None, 5.5)
    assert [row["authenticity_score"] for row in table] == ["", "5.5", "4.5", "3.5", "2.5"]


def test_the_parquet_of_an_earlier_run_does_not_stay(rows, tmp_path):
    write(rows, tmp_path, parquet=True)
    assert pq.read_table(tmp_path / "scores.parquet").num_rows == 9
    write(rows[:1], tmp_path)
    assert not (tmp_path / "scores.parquet").exists()
