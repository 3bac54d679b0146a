"""source: looks at the local files of the chosen data set and teacher, so that a change in them is seen.

Cheap, and run on every repro: it reads names, sizes and times, and no file. What it writes is the same where nothing
changed, and then nothing after it runs. What is not there, or lies where copies come to lie, is refused before anything
is deleted.
"""

from pathlib import Path

from data.download.local_files import is_local, local_path, look_at
from m3agiqa.errors import InputError
from pipeline import paths, sources
from pipeline.data_sets import Joined
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
    profile, members = settings.datasets[name], settings.members_of(name)
    single = members.values() if isinstance(profile, Joined) else [profile]
    local = [path for one in single for path in one.source if is_local(path)]
    for path in local:
        _check_apart(local_path(path), paths.raw(name))
    return DatasetSource(name=name, profile=profile, members=members, local=tuple(map(look_at, local)))


def _check_apart(root: Path, out: Path) -> None:
    """Refuse yours where the next stage's copies come to lie, also by a link: they would be deleted first."""
    for place in (root, *(root.iterdir() if root.is_dir() else ())):
        if place.resolve().is_relative_to(out.resolve()):
            raise InputError(f"{place}: lies in {out}, which is for copies; keep your images outside it")


def _teacher(settings: Settings) -> TeacherSource:
    profile = settings.teachers[settings.teacher]
    local = (look_at(str(profile.path)),) if isinstance(profile, FileTeacher) else ()
    mllm = settings.mllms[profile.mllm].profile if isinstance(profile, MLLMTeacher) else None
    return TeacherSource(name=settings.teacher, local=local, mllm=mllm)


if __name__ == "__main__":
    stage(main)
