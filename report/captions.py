"""The page's part about the teacher: the figures that the stage caption found, and examples of each aspect.

No figure is made here, and no test image is shown: the teacher has seen none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from data.tables.frames import read_table
from m3agiqa.files import read_json
from m3agiqa.thumbnails import thumbnail
from pipeline import paths
from report.examples import THUMBNAIL

SAW = {
    True: "It was shown the scores, so that agreement says how well it wrote down what it knew, not what it can see.",
    False: "It was shown no scores, so that agreement says what it saw.",
    None: "Whether it was written with the scores in sight is not known.",
}


@dataclass(frozen=True)
class Example:
    """One image and what the teacher said of it on one aspect; `by_words` and `word` are how that reads."""

    image_id: str
    prompt: str
    text: str
    mos: float
    by_words: float | None
    word: str | None
    word_mos: str
    source: str  # a data: URI
    size: tuple[int, int]


class Captions(NamedTuple):
    """What the template shows."""

    summary: Mapping[str, Any]  # results/caption.json
    saw: str
    reasons: list[str]  # why anything was refused
    examples: dict[str, dict[str, list[Example]]]  # by aspect and kind


def captions(dataset: str) -> Captions:
    """Those of the data set that was learnt from."""
    summary = read_json(paths.RESULTS / "caption.json")
    samples = read_table(paths.samples(dataset), ["path", "prompt"])
    samples["path"] = [paths.raw(dataset) / path for path in samples["path"]]
    known = samples.merge(read_table(paths.captions(dataset)), on="image_id", validate="1:1").set_index("image_id")
    examples = {
        aspect: {kind: [_example(one, known, aspect) for one in found] for kind, found in figures["examples"].items()}
        for aspect, figures in summary["aspects"].items()
    }
    reasons = sorted({*summary["failures"], *summary["explanations_refused"]})
    return Captions(summary, SAW[summary["saw_scores"]], reasons, examples)


def _example(one: Mapping[str, Any], known: pd.DataFrame, aspect: str) -> Example:
    row = known.loc[one["image_id"]]
    source, size = thumbnail(row["path"], THUMBNAIL)
    return Example(**one, prompt=row["prompt"], text=row[aspect], source=source, size=size)
