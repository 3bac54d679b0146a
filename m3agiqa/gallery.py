"""Scores as a person reads them (a table, a page of images) and as a program does (CSV, JSONL).

The page is one file with the first images in it, reduced, and loads nothing from anywhere. Prompts, descriptions and
file names are other people's text: Jinja escapes them all, and a policy in the page forbids scripts in case one got
through. In the CSV an apostrophe stands before a text that a spreadsheet would take for a formula, as OWASP advises;
the JSONL has every text as it is. The odd bytes of a file name that is not UTF-8 are written as escapes.
"""

import csv
import json
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TextIO

from m3agiqa.aspects import MOS_RANGE
from m3agiqa.errors import InputError
from m3agiqa.files import atomic
from m3agiqa.given import brief
from m3agiqa.image_list import ListedImage
from m3agiqa.rendering import templates
from m3agiqa.score import Score
from m3agiqa.thumbnails import thumbnail

FIELDS = (
    *("image", "prompt", "aspect", "status"),
    *("score", "low", "high", "scale_low", "scale_high"),  # in points of the raters' own scale, and that scale
    *("score_0_5", "low_0_5", "high_0_5"),
    *("word", "description", "warnings"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")  # what a spreadsheet's may begin with
SHOWN = 20  # images on the terminal; the files have them all
ON_THE_PAGE = 200  # images, some 3.5 MB
THUMBNAIL = 320  # pixels, of the longer side
DECIMALS = 6
TEMPLATES = templates("m3agiqa")


class Scored(NamedTuple):
    """An image with its score of each aspect."""

    image: ListedImage
    scores: Sequence[Score]


class Rows(Protocol):
    """A list of scored images, or something that makes them when they are asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Scored]: ...


def write(rows: Rows, folder: Path, *, on_the_page: int = ON_THE_PAGE) -> None:
    """Write scores.csv, scores.jsonl and gallery.html into `folder`, each atomically, image by image.

    The page holds the first `on_the_page` images, and says how many it does not show; the other two hold them all.
    """
    with _text_file(folder / "scores.csv") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")  # a lone \r in a prompt, too
        writer.writerow(FIELDS)
        writer.writerows(map(_cell, record.values()) for record in records(rows))
    with _text_file(folder / "scores.jsonl") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records(rows))
    with _text_file(folder / "gallery.html") as file:
        file.writelines(gallery(rows, on_the_page))


def records(rows: Rows) -> Iterator[dict[str, Any]]:
    """One a score, in the order of the images, with the keys of `FIELDS`."""
    for image, scores in rows:
        for score in scores:
            record = {"image": image.name, "prompt": image.prompt, **asdict(score), "warnings": list(score.warnings)}
            record |= {"score": _round(score.score), "score_0_5": _round(score.score_0_5)}
            record["low"], record["high"] = map(_round, score.interval or (None, None))
            record["low_0_5"], record["high_0_5"] = map(_round, score.interval_0_5 or (None, None))
            record["scale_low"], record["scale_high"] = (None, None) if score.score is None else score.scale
            yield {field: record[field] for field in FIELDS}


def table(rows: Rows) -> str:
    """The first images' scores for a terminal of 100 columns."""
    lines = []
    for image, scores in islice(rows, SHOWN):
        prompt = f'"{image.prompt}"' if image.prompt else "(no prompt)"
        lines.append(printable(f"{brief(image.name)}  {prompt}"))
        for score in scores:
            head = f"  {score.aspect:<15}"
            details = [score.description or "", *(f"! {warning}" for warning in score.warnings)]
            for text in filter(None, [_headline(score), *details]):
                lines += textwrap.wrap(printable(text), 100, initial_indent=head, subsequent_indent=" " * 17)
                head = " " * 17
    if len(rows) > SHOWN:
        lines.append(f"… and {len(rows) - SHOWN} more images")
    return "\n".join(lines)


def gallery(rows: Rows, shown: int = ON_THE_PAGE) -> Iterator[str]:
    """The page on the first `shown` images, piece by piece: one image in memory at a time."""
    items = (
        {"name": brief(image.name), "prompt": image.prompt, "scores": scores, "picture": _picture(image.path)}
        for image, scores in islice(rows, shown)
    )
    return TEMPLATES.get_template("gallery.html").generate(items=items, count=len(rows), shown=min(shown, len(rows)))


def panel(scores: Sequence[Score]) -> str:
    """One image's scores as a piece of HTML."""
    shown: Any = TEMPLATES.get_template("scores.html").module  # its attributes are the template's macros
    html: str = shown.style() + shown.scores(scores)
    return html


def _headline(score: Score) -> str:
    if score.score is None or score.interval is None:
        return score.status
    low, high = score.interval
    found = f"{score.score:5.2f}  ({low:.2f} to {high:.2f})" + (f"  {score.word}" if score.word else "")
    if score.scale == MOS_RANGE:
        return found
    return f"{found}  [{score.scale.low:g} to {score.scale.high:g}; {score.score_0_5:.2f} on 0 to 5]"


def _picture(path: Path) -> str | None:
    """A data: address, or None for a file that is no image."""
    try:
        return thumbnail(path, THUMBNAIL).source
    except (InputError, OSError):
        return None


@contextmanager
def _text_file(path: Path) -> Iterator[TextIO]:
    """A text file that appears when it is whole, and takes what is no Unicode text, too."""
    with (
        atomic(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file


def _cell(value: Any) -> Any:
    """What stands in the CSV for a record's value."""
    text = "; ".join(value) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(FORMULA) else text


def printable(text: str) -> str:
    """Without control characters: a prompt must not move the cursor."""
    return "".join(character if character.isprintable() else " " for character in text)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
