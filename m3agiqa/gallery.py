"""Scores as a person reads them (a table, a page of images) and as a program does (CSV, JSONL).

The page is one file with its images in it, reduced, and loads nothing from anywhere. Prompts, descriptions and file
names are other people's text: Jinja escapes them all, and a policy in the page forbids scripts in case one got through.
"""

import csv
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from m3agiqa.errors import InputError
from m3agiqa.files import atomic
from m3agiqa.image_list import ListedImage
from m3agiqa.rendering import templates
from m3agiqa.scorer import Score
from m3agiqa.thumbnails import thumbnail

FIELDS = ("image", "prompt", "aspect", "status", "score", "low", "high", "word", "description", "warnings")
SHOWN = 20  # images on the terminal; the files have them all
THUMBNAIL = 320  # pixels, of the longer side
DECIMALS = 6
TEMPLATES = templates("m3agiqa")


class Scored(NamedTuple):
    """An image with its score of each aspect."""

    image: ListedImage
    scores: Sequence[Score]


def write(rows: Sequence[Scored], folder: Path) -> None:
    """Write scores.csv, scores.jsonl and gallery.html into `folder`, each atomically, image by image."""
    with atomic(folder / "scores.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**record, "warnings": "; ".join(record["warnings"])} for record in records(rows))
    with atomic(folder / "scores.jsonl") as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records(rows))
    with atomic(folder / "gallery.html") as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(gallery(rows))


def records(rows: Sequence[Scored]) -> Iterator[dict[str, Any]]:
    """One a score, in the order of the images, with the keys of `FIELDS`."""
    for image, scores in rows:
        for score in scores:
            record = {"image": image.name, "prompt": image.prompt, **asdict(score)}
            record["low"], record["high"] = map(_round, record.pop("interval") or (None, None))
            record["score"], record["warnings"] = _round(score.score), list(score.warnings)
            yield {field: record[field] for field in FIELDS}


def table(rows: Sequence[Scored]) -> str:
    """The first images' scores for a terminal of 100 columns."""
    lines = []
    for image, scores in rows[:SHOWN]:
        lines.append(_printable(f'{image.name}  "{image.prompt}"' if image.prompt else f"{image.name}  (no prompt)"))
        for score in scores:
            lines.append(f"  {score.aspect:<15}{_headline(score)}")
            details = [score.description or "", *(f"! {warning}" for warning in score.warnings)]
            for text in filter(None, details):
                lines += textwrap.wrap(_printable(text), 100, initial_indent=" " * 17, subsequent_indent=" " * 17)
    if len(rows) > SHOWN:
        lines.append(f"… and {len(rows) - SHOWN} more images")
    return "\n".join(lines)


def gallery(rows: Sequence[Scored]) -> Iterator[str]:
    """The page, piece by piece: one image in memory at a time."""
    items = ({"image": image, "scores": scores, "picture": _picture(image.path)} for image, scores in rows)
    return TEMPLATES.get_template("gallery.html").generate(items=items, count=len(rows))


def panel(scores: Sequence[Score]) -> str:
    """One image's scores as a piece of HTML."""
    shown: Any = TEMPLATES.get_template("scores.html").module  # its attributes are the template's macros
    html: str = shown.style() + shown.scores(scores)
    return html


def _headline(score: Score) -> str:
    if score.score is None or score.interval is None:
        return _printable(score.status)
    low, high = score.interval
    return f"{score.score:5.2f}  ({low:.2f} to {high:.2f})  {score.word}"


def _picture(path: Path) -> str | None:
    """A data: address, or None for a file that is no image."""
    try:
        return thumbnail(path, THUMBNAIL).source
    except InputError:
        return None


def _printable(text: str) -> str:
    """Without control characters: a prompt must not move the cursor."""
    return "".join(character if character.isprintable() else " " for character in text)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
