"""Candidates for one prompt as the demo's page shows them: in order, how likely each is the best, which are tied.

They are called what whoever sent them calls them, and not by where uploads lie. One that cannot be read or scored is
named with the reason, and the others are ranked.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from m3agiqa.candidates import Ranked
from m3agiqa.errors import InputError
from m3agiqa.gallery import TEMPLATES, THUMBNAIL
from m3agiqa.given import brief, open_image
from m3agiqa.ranking import SURE
from m3agiqa.scorer import Scorer
from m3agiqa.summary import meaning, summaries
from m3agiqa.thumbnails import reduced

MOST = 8  # candidates


class Upload(NamedTuple):
    """A file that came over the page."""

    name: str  # its own
    path: str


class Candidate(NamedTuple):
    """What is shown of an image that has a rank."""

    name: str
    picture: str  # a data: address
    found: Ranked
    tied: Sequence[str] = ()  # who shares its rank


def ranks(scorer: Scorer, uploads: Sequence[Upload], prompt: str, aspect: str) -> str:
    """A piece of HTML.

    Raises:
        InputError: no file or too many, or a judge that does not know how sure an order is.
    """
    if not uploads:
        raise InputError("Choose images first.")
    if len(uploads) > MOST:
        raise InputError(f"These are {len(uploads)} images: at most {MOST} can be ranked at once.")
    opened, missing = {}, {}
    for name, upload in zip(_names(uploads), uploads, strict=True):
        try:
            opened[name] = open_image(Path(upload.path).read_bytes())
        except InputError as error:
            missing[name] = f"failed: {error}"
    ranked: list[Candidate] = []
    found = scorer.rank(list(opened.values()), prompt, aspect=aspect)
    for (name, image), each in zip(opened.items(), found, strict=True):
        if each.score.score is None:
            missing[name] = each.score.status
        else:
            ranked.append(Candidate(name, reduced(image, THUMBNAIL).source, each))
    return TEMPLATES.get_template("ranks.html").render(
        candidates=_in_order(ranked),
        missing=missing,
        likely=likely,
        sure=likely(SURE),
        meaning=meaning(summaries(each.found.score for each in ranked)),
    )


def likely(probability: float) -> str:
    """In whole per cent; near certainty it says no more than that."""
    if probability < 0.005:
        return "less than 1 %"
    return "more than 99 %" if probability > 0.995 else f"{100 * probability:.0f} %"


def _in_order(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The best first, each with those that share its rank."""
    ordered = sorted(candidates, key=lambda each: -(each.found.score.score_0_5 or 0))
    return [
        one._replace(tied=[each.name for each in ordered if each is not one and each.found.rank == one.found.rank])
        for one in ordered
    ]


def _names(uploads: Sequence[Upload]) -> Iterator[str]:
    """What each is called, without folders, and with a number where several are called the same."""
    seen: Counter[str] = Counter()
    for upload in uploads:
        name = brief(re.split(r"[/\\]", upload.name)[-1])
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"
