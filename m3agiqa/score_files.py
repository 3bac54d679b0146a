"""Scores as programs read them: scores.csv, scores.jsonl and, where it is asked for, scores.parquet.

Long, with a row a score, or wide, with a row an image. What else a user's table says of an image stands in the same
row, under its own name, or with `given_` before it where a column of ours is called so.

In the CSV an apostrophe stands before a text that a spreadsheet would take for a formula, as OWASP advises; the others
have every text as it is. The odd bytes of a file name that is not UTF-8 are written as escapes.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TextIO

from m3agiqa.files import atomic
from m3agiqa.image_list import ListedImage
from m3agiqa.score import Score
from m3agiqa.tables import ROWS_AT_ONCE, pyarrow

ASKED = ("image", "prompt")
FOUND: dict[str, "Kind"] = {  # of each score, and what kind of value it is
    "status": "text",
    **dict.fromkeys(("score", "low", "high", "scale_low", "scale_high"), "number"),  # in points of the raters' scale
    **dict.fromkeys(("score_0_5", "low_0_5", "high_0_5", "percentile"), "number"),
    **dict.fromkeys(("word", "description"), "text"),
    "warnings": "texts",
}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")  # what a spreadsheet's may begin with
ROUNDED = ("score", "low", "high", "score_0_5", "low_0_5", "high_0_5", "percentile")
DECIMALS = 6
EXACT, INT64 = 2**53, 2**63  # up to where a whole number is a float's, and Parquet's

Kind = Literal["text", "texts", "truth", "whole", "large", "number", "mixed"]
Record = dict[str, Any]


class Scored(NamedTuple):
    """An image with its score of each aspect."""

    image: ListedImage
    scores: Sequence[Score]


class Rows(Protocol):
    """A list of scored images, or something that makes them when they are asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Scored]: ...


def write(rows: Rows, folder: Path, *, name: str = "scores", wide: bool = False, parquet: bool = False) -> None:
    """Write the files into `folder`, called `name` and what they are, each atomically, image by image."""
    layout = _Layout(rows, wide)
    with text_file(folder / f"{name}.csv") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")  # a lone \r in a prompt, too
        writer.writerow(map(_cell, layout.kinds))
        writer.writerows(map(_cell, record.values()) for record in layout.records())
    with text_file(folder / f"{name}.jsonl") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in layout.records())
    if parquet:
        _write_parquet(layout, folder / f"{name}.parquet")
    else:
        (folder / f"{name}.parquet").unlink(missing_ok=True)  # of another run: it would say something else


@contextmanager
def text_file(path: Path) -> Iterator[TextIO]:
    """A text file that appears when it is whole, and takes what is no Unicode text, too."""
    with (
        atomic(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file


class _Layout:
    """Which columns there are, what kind of value each holds (`kinds`), and the records in them."""

    def __init__(self, rows: Rows, wide: bool) -> None:
        self.rows, self.wide = rows, wide
        aspects, given = _columns(rows)
        if wide:
            ours = {f"{aspect}_{field}": kind for aspect in aspects for field, kind in FOUND.items()}
        else:
            ours = {"aspect": FOUND["word"]} | FOUND
        self.kinds = dict.fromkeys(ASKED, FOUND["word"]) | ours
        self.given: dict[str, str] = {}  # what the user's columns are called here
        for name, kind in given.items():
            others = {_written(other) for other in (*self.kinds, *given) if other != name or other in self.kinds}
            self.given[name] = _free(name, others)
            self.kinds[self.given[name]] = kind

    def records(self) -> Iterator[Record]:
        """In the order of the images, with the keys of `kinds`."""
        for image, scores in self.rows:
            asked = {"image": image.name, "prompt": image.prompt}
            given = {ours: image.columns.get(name) for name, ours in self.given.items()}
            if self.wide:
                told = {f"{each.aspect}_{field}": value for each in scores for field, value in _rounded(each).items()}
                yield dict.fromkeys(self.kinds) | asked | told | given
            else:
                yield from (asked | {"aspect": each.aspect} | _rounded(each) | given for each in scores)


def found(score: Score) -> Record:
    """What is said of a score, with the keys of FOUND, no digit left out."""
    record = asdict(score) | {"warnings": list(score.warnings), "score_0_5": score.score_0_5}
    record["low"], record["high"] = score.interval or (None, None)
    record["low_0_5"], record["high_0_5"] = score.interval_0_5 or (None, None)
    record["scale_low"], record["scale_high"] = (None, None) if score.score is None else score.scale
    return {field: record[field] for field in FOUND}


def _rounded(score: Score) -> Record:
    return {field: _round(value) if field in ROUNDED else value for field, value in found(score).items()}


def _columns(rows: Rows) -> tuple[list[str], dict[str, Kind]]:
    """The aspects that any image has a score of; and the user's columns, and what each holds."""
    aspects: dict[str, None] = {}
    kinds: dict[str, set[Kind]] = {}
    for image, scores in rows:
        aspects |= dict.fromkeys(score.aspect for score in scores)
        for name, value in image.columns.items():
            kinds.setdefault(name, set()).update([] if value is None else [_kind(value)])
    return list(aspects), {name: _one(found) for name, found in kinds.items()}


def _kind(value: Any) -> Kind:
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int) and -INT64 <= value < INT64:
        return "whole" if abs(value) <= EXACT else "large"
    return "text" if isinstance(value, str) else "number" if isinstance(value, float) else "mixed"


def _one(kinds: set[Kind]) -> Kind:
    if kinds == {"whole", "large"}:
        return "large"
    if kinds == {"whole", "number"}:
        return "number"
    return next(iter(kinds)) if len(kinds) == 1 else "mixed"


def _free(name: str, taken: set[str]) -> str:
    while _written(name) in taken:
        name = f"given_{name}"
    return name


def _written(name: str) -> str:
    """A column's name as the CSV has it, and, but for an apostrophe, Parquet."""
    return str(_cell(_unicode(name)))


def _write_parquet(layout: _Layout, path: Path) -> None:
    pa = pyarrow(str(path))
    types = {"truth": pa.bool_(), "number": pa.float64(), "texts": pa.list_(pa.string())}
    types |= dict.fromkeys(("whole", "large"), pa.int64())
    schema = pa.schema({_unicode(name): types.get(kind, pa.string()) for name, kind in layout.kinds.items()})
    with atomic(path) as temporary, pa.parquet.ParquetWriter(temporary, schema) as writer:
        records = (_cells(record, layout.kinds) for record in layout.records())
        while several := list(islice(records, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(several, schema))


def _cells(record: Record, kinds: Mapping[str, Kind]) -> Record:
    """A record as Parquet takes it: text that is Unicode, and JSON for what is this and that."""
    return {
        _unicode(name): json.dumps(value) if kinds[name] == "mixed" and value is not None else _unicode(value)
        for name, value in record.items()
    }


def _unicode(value: Any) -> Any:
    if isinstance(value, list):
        return [_unicode(each) for each in value]
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _cell(value: Any) -> Any:
    """What stands in the CSV for a record's value."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = "; ".join(value)
    elif isinstance(value, (list, dict)):
        value = json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
