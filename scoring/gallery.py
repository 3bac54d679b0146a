"""Scores as a person reads them (a table, a page of images) and as a program does (CSV, JSONL).

The page is one file with its images in it, reduced, and loads nothing from anywhere. Prompts, descriptions and file
names are other people's text: Jinja escapes them all, and a policy in the page forbids scripts in case one got through.
"""

import base64
import csv
import io
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from data.errors import InputError
from data.files import atomic
from data.images import load_image
from scoring.asked import Asked
from scoring.scorer import Score

Rows = Sequence[tuple[Asked, Sequence[Score]]]

FIELDS = ("image", "prompt", "aspect", "status", "score", "low", "high", "word", "description", "warnings")
SHOWN = 20  # images on the terminal; the files have them all
THUMBNAIL = 320  # pixels, of the longer side
DECIMALS = 6
TEMPLATES = Environment(autoescape=True, loader=PackageLoader("scoring"), undefined=StrictUndefined)


def write(rows: Rows, folder: Path) -> None:
    """Write scores.csv, scores.jsonl and gallery.html into `folder`, each atomically, image by image."""
    with atomic(folder / "scores.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**record, "warnings": "; ".join(record["warnings"])} for record in records(rows))
    with atomic(folder / "scores.jsonl") as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records(rows))
    with atomic(folder / "gallery.html") as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(gallery(rows))


def records(rows: Rows) -> Iterator[dict]:
    """One a score, in the order of the images, with the keys of `FIELDS`."""
    for asked, scores in rows:
        for score in scores:
            record = {"image": asked.name, "prompt": asked.prompt, **asdict(score)}
            record["low"], record["high"] = map(_round, record.pop("interval") or (None, None))
            record["score"], record["warnings"] = _round(score.score), list(score.warnings)
            yield {field: record[field] for field in FIELDS}


def table(rows: Rows) -> str:
    """The first images' scores for a terminal of 100 columns."""
    lines = []
    for asked, scores in rows[:SHOWN]:
        lines.append(_printable(f'{asked.name}  "{asked.prompt}"' if asked.prompt else f"{asked.name}  (no prompt)"))
        for score in scores:
            lines.append(f"  {score.aspect:<15}{_headline(score)}")
            details = [score.description or "", *(f"! {warning}" for warning in score.warnings)]
            for text in filter(None, details):
                lines += textwrap.wrap(_printable(text), 100, initial_indent=" " * 17, subsequent_indent=" " * 17)
    if len(rows) > SHOWN:
        lines.append(f"… and {len(rows) - SHOWN} more images")
    return "\n".join(lines)


def gallery(rows: Rows) -> Iterator[str]:
    """The page, piece by piece: one image in memory at a time."""
    items = ({"asked": asked, "scores": scores, "picture": _thumbnail(asked.path)} for asked, scores in rows)
    return TEMPLATES.get_template("gallery.html").generate(items=items, count=len(rows))


def panel(scores: Sequence[Score]) -> str:
    """One image's scores as a piece of HTML."""
    shown = TEMPLATES.get_template("scores.html").module
    return shown.style() + shown.scores(scores)


def _headline(score: Score) -> str:
    if score.score is None:
        return _printable(score.status)
    low, high = score.interval
    return f"{score.score:5.2f}  ({low:.2f} to {high:.2f})  {score.word}"


def _thumbnail(path: Path) -> str | None:
    """A data URI, or None for a file that is no image."""
    try:
        image = load_image(path)
    except InputError:
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _printable(text: str) -> str:
    """Without control characters: a prompt must not move the cursor."""
    return "".join(character if character.isprintable() else " " for character in text)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
