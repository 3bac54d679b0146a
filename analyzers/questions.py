"""What there is to ask: the images that a teacher may see, read as they are needed. Test images are not among them."""

from collections.abc import Iterator

from analyzers.teacher import Question
from data.tables.frames import aspects_of
from data.tables.rows import Row, joined_rows
from pipeline import paths
from pipeline.settings import Settings


def questions(settings: Settings) -> Iterator[Question]:
    """One question for each train and val image."""
    return (question_about(settings, row) for row in seen(settings))


def seen(settings: Settings) -> Iterator[Row]:
    """The samples that a teacher may see."""
    return (row for row in samples(settings) if row["split"] != "test")


def samples(settings: Settings) -> Iterator[Row]:
    """All samples with their split, sorted by image_id."""
    return joined_rows(paths.samples(settings.dataset), paths.splits(settings.dataset))


def question_about(settings: Settings, row: Row) -> Question:
    """The question about one sample."""
    path = paths.raw(settings.dataset) / row["path"]
    return Question(row["image_id"], path, row["sha256"], row["prompt"], mos_of(row))


def mos_of(row: Row) -> dict[str, float]:
    """A sample's MOS of each aspect that it was rated on, 0 to 5."""
    return {aspect: mos for aspect in aspects_of(row) if (mos := row[f"mos_{aspect}"]) is not None}
