"""What every teacher gives, and the two that are free: `offline`, a set of rules, and `file`, written by others."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from analyzers.handwritten import read_explanations
from analyzers.ledger import Totals
from analyzers.measurements import measure
from analyzers.offline import OfflineTeacher
from analyzers.teacher import Question
from data.images import load_image
from data.tables import aspects_of
from stages import paths
from stages.progress import progress
from stages.settings import Prices, Settings

NOT_THERE = "not in the file"


@dataclass(frozen=True)
class Described:
    """What the teacher said, of which images it said nothing and why, and what that took."""

    explanations: Mapping[str, Mapping[str, str]]  # image_id: {aspect: explanation}
    failures: Mapping[str, str] = field(default_factory=dict)  # image_id: reason
    totals: Totals = field(default_factory=Totals)
    prices: Prices | None = None
    saw_mos: bool | None = None  # whether it was shown the human scores, where that can be chosen


def offline(settings: Settings, seen: pd.DataFrame, _others: pd.DataFrame) -> Described:
    files = [paths.raw(settings.dataset) / path for path in seen["path"]]
    measured = progress(files, total=len(files), desc="measure", unit="images")
    teacher = OfflineTeacher(measure(load_image(file)) for file in measured)
    aspects, explanations = aspects_of(seen), {}
    labelled = zip(files, seen.to_dict("records"), strict=True)
    for file, sample in progress(labelled, total=len(files), desc="caption", unit="images"):
        mos = {aspect: sample[f"mos_{aspect}"] for aspect in aspects}
        said = teacher.describe(load_image(file), sample["prompt"], mos, sample["comment"])
        explanations[sample["image_id"]] = said
    return Described(explanations)


def handwritten(settings: Settings, seen: pd.DataFrame, others: pd.DataFrame) -> Described:
    """`others` may have rows in the file too."""
    asked = questions(settings, seen)
    names = [question.path.name for question in questions(settings, others)]
    explanations = read_explanations(settings.teachers[settings.teacher].path, asked, names)
    missing = {question.image_id: NOT_THERE for question in asked if question.image_id not in explanations}
    return Described(explanations, missing)


def questions(settings: Settings, samples: pd.DataFrame) -> list[Question]:
    """What is to be asked about these images."""
    aspects = aspects_of(samples)
    return [
        Question(
            image_id=sample["image_id"],
            path=paths.raw(settings.dataset) / sample["path"],
            sha256=sample["sha256"],
            prompt=sample["prompt"],
            mos={aspect: sample[f"mos_{aspect}"] for aspect in aspects},
        )
        for sample in samples.to_dict("records")
    ]


FREE = {"offline": offline, "file": handwritten}
