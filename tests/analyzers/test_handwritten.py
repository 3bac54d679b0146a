import json
import re
import unicodedata
from pathlib import Path

import pytest

from analyzers.captions import Described
from analyzers.file import read_explanations
from analyzers.teacher import Question
from m3agiqa.errors import InputError
from tests.gemini_server import TEXTS

QUALITY, MATCH = TEXTS["quality"], "All that was asked for is there."
MOS = {"quality": 3.42, "correspondence": 1.0}
ASKED = [Question(name, Path(f"images/{name}.png"), "0", "a ball", MOS) for name in "ab"]


def read(path, text):
    path.write_text(text, encoding="utf-8")
    return read_explanations(path, ASKED, ["test.png"])


@pytest.mark.parametrize("first", ["", "\ufeff"])
def test_csv_and_jsonl_say_the_same(tmp_path, first):
    rows = [{"name": "b.png", "quality": QUALITY, "correspondence": f"{MATCH}\n", "by": "x"}, {"name": "test.png"}]
    lines = [f'"{row["name"]}","{row.get("correspondence", "")}","{row.get("quality", "")}"' for row in rows]
    table = read(tmp_path / "t.csv", first + "\n".join(["name, correspondence,quality", *lines]) + "\n")
    assert table == {"b": Described("b", {"quality": QUALITY, "correspondence": MATCH})}
    assert read(tmp_path / "t.jsonl", first + "\n\n".join(map(json.dumps, rows))) == table


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_tables_are_taken_as_people_have_them(tmp_path, form):
    """A column `image`, rows and columns that hold nothing, accents in either Unicode form."""
    asked = [Question("u", Path("images") / unicodedata.normalize(form, "Ü.png"), "0", "a ball", MOS)]
    for other in ("NFC", "NFD"):
        row = f"{unicodedata.normalize(other, 'Ü.png')},{QUALITY},{MATCH},"
        (tmp_path / "mine.csv").write_text(f"image,quality,correspondence,\n,,,\n{row}\n,,,\n", encoding="utf-8")
        found = read_explanations(tmp_path / "mine.csv", asked, [])
        assert found == {"u": Described("u", {"quality": QUALITY, "correspondence": MATCH})}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"name,quality\na.png,{QUALITY}\n", "row 2: correspondence of 'a.png': missing"),
        (f'name,quality,correspondence\na.png,{QUALITY},""\n', "row 2: correspondence of 'a.png': empty"),
        (f"name,quality,correspondence\na.png,{QUALITY},no\n", "correspondence of 'a.png': fewer than 15 letters"),
        (f"name,quality,correspondence\na.png,{QUALITY}\n", "row 2: 2 fields, expected 3"),
        (f"name,quality,correspondence\nc.png,{QUALITY},{MATCH}\n", "row 2: name is 'c.png', which is no image"),
        ("quality\nx\n", "row 2: name is None"),
        ("name,quality,correspondence\n" + f"a.png,{QUALITY},{MATCH}\n" * 2, "row 3: name 'a.png' stands in row 2"),
        ('name\n"a', "row 2: not valid csv"),
    ],
)
def test_a_bad_row_is_named(tmp_path, text, complaint):
    with pytest.raises(InputError, match=re.escape(complaint)) as error:
        read(tmp_path / "mine.csv", text)
    assert "mine.csv" in str(error.value)


def test_a_row_that_repeats_the_score_is_kept_and_known(tmp_path):
    table = read(
        tmp_path / "mine.csv", f"name,quality,correspondence\na.png,{QUALITY} 3.4,{MATCH}\nb.png,{MATCH},{MATCH}"
    )
    assert table["a"] == Described("a", {"quality": f"{QUALITY} 3.4", "correspondence": MATCH}, repeating=("quality",))
    assert not table["b"].repeating


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("[1]", "line 1: expected an object"),
        ("{", "line 1: not JSON"),
        pytest.param("[" * 100_000, r"line 1: not JSON \(nested deeper than 100\)", id="deep"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, complaint):
    with pytest.raises(InputError, match=complaint):
        read(tmp_path / "mine.jsonl", line)


def test_a_file_that_is_no_table(tmp_path):
    with pytest.raises(InputError, match=r"\.csv or \.jsonl"):
        read(tmp_path / "mine.txt", "")
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        read_explanations(tmp_path / "none.csv", ASKED, [])
    (tmp_path / "latin.csv").write_bytes("name\nü".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        read_explanations(tmp_path / "latin.csv", ASKED, [])
