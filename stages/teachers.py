"""What every teacher gives, and the two that are free: `offline`, a set of rules, and `file`, written by others."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from analyzers.handwritten import read_explanations
from analyzers.ledger import Totals
from analyzers.teacher import Question
from data.images import load_image
from data.rows import Row, joined_rows
from data.tables import aspects_of
from stages import paths
from stages.progress import progress
from stages.settings import Prices, Settings

NOT_THERE = "not in the file"


@dataclass(frozen=True)
class Described:
    """What the teacher said of one image, or why it said nothing."""

    image_id: str
    explanations: Mapping[str, str] | None = None  # by aspect
    failure: str | None = None


@dataclass(frozen=True)
class Work:
    """What a teacher did: image by image, sorted by image_id, and what that took."""

    images: Iterable[Described]
    totals: Totals = field(default_factory=Totals)
    prices: Prices | None = None
    saw_mos: bool | None = None  # whether it was shown the human scores, where that can be chosen


def offline(settings: Settings) -> Work:
    from analyzers.measurements import measure  # noqa: PLC0415 (scipy, which the others do not need)
    from analyzers.offline import OfflineTeacher  # noqa: PLC0415

    raw, total = paths.raw(settings.dataset), sum(1 for _ in seen(settings))
    files = progress((raw / row["path"] for row in seen(settings)), total=total, desc="measure", unit="images")
    teacher = OfflineTeacher(measure(load_image(file)) for file in files)

    def described() -> Iterator[Described]:
        for row in progress(seen(settings), total=total, desc="caption", unit="images"):
            said = teacher.describe(load_image(raw / row["path"]), row["prompt"], _mos(row), row["comment"])
            yield Described(row["image_id"], said)

    return Work(described())


def handwritten(settings: Settings) -> Work:
    """Test images may have rows in the file too."""
    asked = list(questions(settings))
    names = [_question(settings, row).path.name for row in _samples(settings) if row["split"] == "test"]
    found = read_explanations(settings.teachers[settings.teacher].path, asked, names)
    explanations = ((question.image_id, found.get(question.image_id)) for question in asked)
    return Work([Described(image_id, said, None if said else NOT_THERE) for image_id, said in explanations])


def questions(settings: Settings) -> Iterator[Question]:
    """What there is to ask: one question for each train and val image, read as it is needed."""
    return (_question(settings, row) for row in seen(settings))


def seen(settings: Settings) -> Iterator[Row]:
    """The samples that a teacher may see."""
    return (row for row in _samples(settings) if row["split"] != "test")


def _samples(settings: Settings) -> Iterator[Row]:
    return joined_rows(paths.samples(settings.dataset), paths.splits(settings.dataset))


def _question(settings: Settings, row: Row) -> Question:
    path = paths.raw(settings.dataset) / row["path"]
    return Question(row["image_id"], path, row["sha256"], row["prompt"], _mos(row))


def _mos(row: Row) -> dict[str, float]:
    return {aspect: row[f"mos_{aspect}"] for aspect in aspects_of(row)}


FREE = {"offline": offline, "file": handwritten}
