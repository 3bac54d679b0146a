"""source: looks at the local files of the chosen data set and teacher, so that a change in them is seen.

Cheap, and run on every repro: it reads names, sizes and times, and no file. What it writes is the same where nothing
changed, and then nothing after it runs. A file that is not there is refused here, before anything is deleted.
"""

from data.download.local_files import is_local, look_at
from pipeline import sources
from pipeline.profiles import FileTeacher, MLLMTeacher
from pipeline.settings import Settings
from pipeline.sources import DatasetSource, TeacherSource
from pipeline.stage import stage


def main(settings: Settings) -> None:
    sources.write(_dataset(settings, settings.dataset), sources.DATASET)
    sources.write(_dataset(settings, settings.evaluate.on), sources.CROSS)
    sources.write(_teacher(settings), sources.TEACHER)


def _dataset(settings: Settings, name: str | None) -> DatasetSource:
    if name is None:
        return DatasetSource(name=None)
    profile = settings.datasets[name]
    return DatasetSource(
        name=name, profile=profile, local=tuple(look_at(path) for path in profile.source if is_local(path))
    )


def _teacher(settings: Settings) -> TeacherSource:
    profile = settings.teachers[settings.teacher]
    local = (look_at(str(profile.path)),) if isinstance(profile, FileTeacher) else ()
    mllm = settings.mllms[profile.mllm].profile if isinstance(profile, MLLMTeacher) else None
    return TeacherSource(name=settings.teacher, local=local, mllm=mllm)


if __name__ == "__main__":
    stage(main)
