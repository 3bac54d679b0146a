"""label-studio: scores as tasks of Label Studio, each with the judge's rating and description as a prediction.

What is made are the two files that Label Studio's pages ask for: the tasks (Import) and the labelling configuration
(Settings). Its stars are whole, so a star is the nearest to the score on 1 to 5, and the score itself, with its
interval and its warnings, is a line above them. An image without a score is a task without a prediction.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from m3agiqa.aspects import ASPECTS, Scale
from m3agiqa.errors import InputError
from m3agiqa.files import write_text
from m3agiqa.given import brief
from m3agiqa.image_list import ListedImage
from m3agiqa.score import Interval, Score, on_scale
from m3agiqa.score_files import FORMULA, FOUND, Scored, text_file
from m3agiqa.tables import table_rows

STARS = Scale(1, 5)
LOCAL_FILES = "/data/local-files/?d="  # where Label Studio serves what lies below its document root

# Of a configuration; `Header` shows, `Rating` and `TextArea` are what people change.
IMAGE = """\
  <Image name="image" value="$image" maxHeight="50vh"/>
  <Header value="$prompt" size="5"/>
"""
ASPECT = """\
  <Header value="{0}"/>
  <Header value="${0}_said" size="5"/>
  <Rating name="{0}" toName="image" maxRating="5"/>
  <TextArea name="{0}_description" toName="image" editable="true" maxSubmissions="1"/>
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scores", type=Path, metavar="FILE", help="scores.jsonl, .parquet or .csv, as predict wrote it")
    parser.add_argument(
        "--prefix",
        default=LOCAL_FILES,
        metavar="URL",
        help=f"what makes an address of an image's name; default: {LOCAL_FILES}",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("label_studio"), help="default: label_studio")


def run(arguments: argparse.Namespace) -> None:
    rows = list(read(arguments.scores))
    made = [task(row, arguments.prefix) for row in rows]
    write_text(arguments.out / "config.xml", config({score.aspect for row in rows for score in row.scores}))
    with text_file(arguments.out / "tasks.json") as file:
        json.dump(made, file, ensure_ascii=False, allow_nan=False)
    told = sum(bool(each["predictions"]) for each in made)
    print(
        f"label-studio: tasks.json ({len(made)} tasks, {told} with a prediction) and config.xml are in {arguments.out}",
        file=sys.stderr,
    )


def config(aspects: Iterable[str]) -> str:
    """The labelling configuration for tasks with these aspects: XML."""
    asked = set(aspects)
    return f"<View>\n{IMAGE}{''.join(ASPECT.format(aspect) for aspect in ASPECTS if aspect in asked)}</View>\n"


def task(row: Scored, prefix: str = LOCAL_FILES) -> dict[str, Any]:
    """A task, to be imported as JSON: `data` has what is shown and sorted by, `predictions` one or none."""
    image, scores = row
    data: dict[str, Any] = {"image": prefix + quote(image.name, errors="replace"), "prompt": image.prompt}
    for score in scores:
        data |= {f"{score.aspect}_said": _said(score), f"{score.aspect}_score": score.score}
    result = [region for score in scores for region in _regions(score)]
    return {"data": data, "predictions": [{"model_version": "m3agiqa", "result": result}] if result else []}


def _said(score: Score) -> str:
    if score.score is None or score.interval is None:
        return score.status
    found = f"{score.score:.2f} ({score.interval.low:.2f} to {score.interval.high:.2f})"
    return "; ".join([f"{found} of {score.scale.low:g} to {score.scale.high:g}", *score.warnings])


def _regions(score: Score) -> Iterator[dict[str, Any]]:
    """What the judge fills in: stars, and a description where it wrote one."""
    if score.score_0_5 is None:
        return
    stars = int(on_scale(score.score_0_5, STARS) + 0.5)
    yield {"from_name": score.aspect, "to_name": "image", "type": "rating", "value": {"rating": stars}}
    if score.description:
        name, text = f"{score.aspect}_description", [score.description]
        yield {"from_name": name, "to_name": "image", "type": "textarea", "value": {"text": text}}


def read(scores: Path) -> Iterator[Scored]:
    """The images of a file that m3agiqa/score_files.py wrote, long or wide, with their scores.

    Raises:
        InputError: naming the file, the row and what was expected.
    """
    statuses = [f"{aspect}_status" for aspect in ASPECTS]
    image, found = ListedImage("", Path(), ""), list[Score]()
    for where, given in table_rows(scores, ("image",), ("prompt",), ("aspect", *statuses)):
        values = {name: _plain(value) for name, value in given.items()} if scores.suffix.lower() == ".csv" else given
        if not isinstance(values["image"], str):
            raise InputError(f"{where}: image is {brief(repr(values['image']))}, expected its name")
        told = ListedImage(values["image"], Path(), values["prompt"] or "")
        its = list(_scores(where, values))
        # Long, an image has a row an aspect; one that stands in the list twice has each of them twice.
        if found and (told != image or {score.aspect for score in found} & {score.aspect for score in its}):
            yield Scored(image, found)
            found = []
        image, found = told, found + its
    if found:
        yield Scored(image, found)


def _plain(text: str) -> str:
    """A cell of the CSV, without the apostrophe that kept a spreadsheet from taking it for a formula."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def _scores(where: str, values: Mapping[str, Any]) -> Iterator[Score]:
    """Of a row: one, or, if it is wide, one of each aspect. Whatever a user's columns are called, they come last."""
    wide = {f"{aspect}_status": aspect for aspect in ASPECTS}
    if next(name for name in values if name == "aspect" or name in wide) == "aspect":
        yield _score(where, values["aspect"], {field: values.get(field) for field in FOUND})
        return
    for name, aspect in wide.items():
        if values.get(name):
            yield _score(where, aspect, {field: values.get(f"{aspect}_{field}") for field in FOUND})


def _score(where: str, aspect: str, found: Mapping[str, Any]) -> Score:
    if aspect not in ASPECTS:
        raise InputError(f"{where}: aspect is {brief(repr(aspect))}, expected one of {', '.join(ASPECTS)}")
    if found["score"] in (None, ""):
        return Score(aspect, found["status"])
    names = ("score", "low", "high", "scale_low", "scale_high")
    score, low, high, *ends = (_number(where, name, found[name]) for name in names)
    scale = Scale(*ends)
    if not scale.low < scale.high:
        raise InputError(f"{where}: scale_high is {scale.high:g}, expected more than scale_low")
    warnings = found["warnings"] or ()
    return Score(
        aspect,
        found["status"],
        score,
        Interval(low, high),
        description=found["description"],
        warnings=(warnings,) if isinstance(warnings, str) else tuple(warnings),  # a CSV has them in one text
        scale=scale,
    )


def _number(where: str, name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: {name} is {brief(repr(value))}, expected a number")
    return number
