"""The teachers by their kind in params.yaml: two that are free, and those whose answers are kept in a journal."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

from analyzers.captions import Captions, Described
from analyzers.file import read_explanations
from analyzers.journalled import journalled
from analyzers.questions import mos_of, question_about, questions, samples, seen
from analyzers.terms import Options
from data.download.local_files import local_path
from m3agiqa.images import load_image
from m3agiqa.progress import progress
from pipeline import paths
from pipeline.profiles import FileTeacher
from pipeline.settings import Settings

NOT_THERE = "not in the file"


def captions(settings: Settings, options: Options) -> AbstractContextManager[Captions]:
    """The work of the teacher of the settings, to be read while the context lasts."""
    kind = settings.teachers[settings.teacher].kind
    return nullcontext(FREE[kind](settings)) if kind in FREE else journalled(settings, options)


def offline(settings: Settings) -> Captions:
    """A set of rules."""
    from analyzers.measurements import measure  # noqa: PLC0415 (scipy, which the others do not need)
    from analyzers.offline import OfflineTeacher  # noqa: PLC0415

    raw, total = paths.raw(settings.dataset), sum(1 for _ in seen(settings))
    files = progress((raw / row["path"] for row in seen(settings)), total=total, desc="measure", unit="images")
    teacher = OfflineTeacher(measure(load_image(file)) for file in files)

    def described() -> Iterator[Described]:
        for row in progress(seen(settings), total=total, desc="caption", unit="images"):
            said = teacher.describe(load_image(raw / row["path"]), row["prompt"], mos_of(row), row["comment"])
            yield Described(row["image_id"], said)

    return Captions(described())


def file(settings: Settings) -> Captions:
    """Explanations written by others; test images may have rows in the file too."""
    profile = settings.teachers[settings.teacher]
    if not isinstance(profile, FileTeacher):
        raise TypeError(f"the teacher {settings.teacher} has no file")
    open_questions = list(questions(settings))
    names = [question_about(settings, row).path.name for row in samples(settings) if row["split"] == "test"]
    found = read_explanations(local_path(str(profile.path)), open_questions, names)
    image_ids = (question.image_id for question in open_questions)
    return Captions([found.get(image_id, Described(image_id, failure=NOT_THERE)) for image_id in image_ids])


FREE: dict[str, Callable[[Settings], Captions]] = {"offline": offline, "file": file}
