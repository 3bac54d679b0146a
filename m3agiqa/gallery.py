"""Scores as a person reads them: a table on the terminal, and a page of images.

The page is one file with the first images in it, reduced, and loads nothing from anywhere. Prompts, descriptions and
file names are other people's text: Jinja escapes them all, and in case one got through, a policy in the page allows no
script but one, ours, by its hash. That one sorts and filters; without it the page shows all that it has. The odd bytes
of a file name that is not UTF-8 are written as escapes.
"""

import base64
import hashlib
import sys
import textwrap
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from m3agiqa.aspects import MOS_RANGE
from m3agiqa.errors import InputError
from m3agiqa.given import brief
from m3agiqa.rendering import templates
from m3agiqa.score import Score
from m3agiqa.score_files import Rows, text_file
from m3agiqa.summary import meaning, standing, summaries
from m3agiqa.thumbnails import thumbnail

SHOWN = 20  # images on the terminal; the files have them all
ON_THE_PAGE = 200  # images, some 3.5 MB
THUMBNAIL = 320  # pixels, of the longer side
WIDTH = 100  # columns of a terminal
TEMPLATES = templates("m3agiqa")
TEMPLATES.filters["standing"] = standing
SCRIPT = (Path(__file__).parent / "templates/gallery.js").read_text(encoding="utf-8")


def write(rows: Rows, folder: Path, *, on_the_page: int = ON_THE_PAGE) -> None:
    """Write gallery.html into `folder`, atomically; it holds the first images, and says how many it does not show."""
    with text_file(folder / "gallery.html") as file:
        file.writelines(gallery(rows, on_the_page))


def table(rows: Rows) -> str:
    """The first images' scores for a terminal of 100 columns, a line on all of them, and what a score means."""
    lines = []
    for image, scores in islice(rows, SHOWN):
        prompt = f'"{image.prompt}"' if image.prompt else "(no prompt)"
        lines.append(printable(f"{brief(image.name)}  {prompt}"))
        for score in scores:
            head = f"  {score.aspect:<15}"
            details = standing(score), score.description, *(f"! {warning}" for warning in score.warnings)
            for text in filter(None, (_headline(score), *details)):
                lines += textwrap.wrap(printable(text), WIDTH, initial_indent=head, subsequent_indent=" " * 17)
                head = " " * 17
    if len(rows) > SHOWN:
        lines.append(f"… and {len(rows) - SHOWN} more images")
    found = summaries(score for _, scores in rows for score in scores)
    about = [*map(str, found)] * (len(rows) > 1), meaning(found)
    for paragraph in filter(None, about):
        lines += ["", *(line for text in paragraph for line in textwrap.wrap(text, WIDTH, subsequent_indent="  "))]
    return "\n".join(lines)


def gallery(rows: Rows, shown: int = ON_THE_PAGE) -> Iterator[str]:
    """The page on the first `shown` images, piece by piece: one image in memory at a time."""
    items = (
        {"name": brief(image.name), "prompt": image.prompt, "scores": scores, "picture": _picture(image.path)}
        for image, scores in islice(rows, shown)
    )
    found = summaries(score for _, scores in rows for score in scores)
    return TEMPLATES.get_template("gallery.html").generate(
        items=items,
        count=len(rows),
        shown=min(shown, len(rows)),
        summaries=found,
        meaning=meaning(found),
        script=SCRIPT,
        script_sha256=base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode(),
    )


def panel(scores: Sequence[Score]) -> str:
    """One image's scores as a piece of HTML."""
    shown: Any = TEMPLATES.get_template("scores.html").module  # its attributes are the template's macros
    html: str = shown.style() + shown.scores(scores) + shown.meaning(meaning(summaries(scores)))
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


def say(text: str) -> None:
    """Print it; what the terminal cannot show is written as escapes."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def printable(text: str) -> str:
    """Without control characters: a prompt must not move the cursor."""
    return "".join(character if character.isprintable() else " " for character in text)
