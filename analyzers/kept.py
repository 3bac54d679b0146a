"""What a teacher has said of a data set's images so far: nothing is asked, and nothing is paid.

The answers of one that costs time or money are those in its journal; one that is free says it again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pandas as pd

from analyzers.captions import Captions
from analyzers.joining import NAME
from analyzers.journalled import answered
from analyzers.teachers import FREE
from analyzers.work import kept
from data.tables.frames import aspects_of, column_names
from m3agiqa.errors import InputError
from pipeline import paths, sources
from pipeline.profiles import MLLMTeacher
from pipeline.settings import Settings
from pipeline.sources import TeacherSource


class Said(NamedTuple):
    """A teacher's explanations."""

    teacher: str
    saw_scores: bool | None  # None: nobody knows
    texts: pd.DataFrame  # image_id and a column for each aspect of the data set


def said_so_far(settings: Settings, teacher: str) -> Said:
    """By this teacher of params.yaml, of every image that it has described.

    Raises:
        InputError: its file or journal cannot be read, or it is a model of this machine that is not the teacher.
    """
    chosen = settings.model_copy(update={"teacher": teacher})
    columns = ["image_id", *aspects_of(column_names(paths.samples(settings.dataset)))]
    with _answered(chosen) as work:
        rows = [{"image_id": each.image_id, **each.explanations} for each in work.images if each.explanations]
        return Said(teacher, saw_scores(chosen, work), pd.DataFrame(rows, columns=columns))


def saw_scores(settings: Settings, work: Captions) -> bool | None:
    """Whether the teacher was shown people's scores. `offline` always is; who wrote a file may have been."""
    return settings.teachers[settings.teacher].kind == "offline" or work.saw_mos


@contextmanager
def _answered(settings: Settings) -> Iterator[Captions]:
    profile = settings.teachers[settings.teacher]
    if profile.kind in FREE:
        yield FREE[profile.kind](settings)
    elif not kept(settings, NAME).exists():  # so that no model is loaded for it
        yield Captions(())
    else:
        if isinstance(profile, MLLMTeacher):
            _require_the_teacher(settings.teacher)
        with answered(settings) as captions:
            yield captions


def _require_the_teacher(name: str) -> None:
    """What a model of this machine has said is found by what the stage `source` saw of it, and it sees one teacher."""
    try:
        sources.read(TeacherSource, sources.TEACHER, name)
    except InputError:
        raise InputError(
            f"{name} is a model on this machine, whose answers are found while it is the teacher alone: set teacher: "
            f"{name} in params.yaml, run python -m stages.source, and compare the other way round"
        ) from None
