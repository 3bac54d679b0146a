"""What the stage `source` saw, in data/sources/: the deps of the stages that read local files or another profile.

DVC cannot choose a dep by a param, and stops at a path that is gone, or that is no path. So one cheap stage looks at
what is chosen, on every run, and writes it down; what it writes changes where something did.
"""

from pathlib import Path
from typing import TypeVar

from data.download.local_files import LocalFiles
from m3agiqa.errors import InputError
from m3agiqa.files import read_json, write_text
from m3agiqa.mllm.profile import Profile
from m3agiqa.strict import Strict
from pipeline.data_sets import Dataset, Single
from pipeline.paths import SOURCES

DATASET, CROSS, TEACHER = (SOURCES / f"{name}.json" for name in ("dataset", "cross", "teacher"))


class DatasetSource(Strict):
    """A data set, its profile, those of the data sets that it joins, and its local files."""

    name: str | None  # None: no other data set is tested on
    profile: Dataset | None = None
    members: dict[str, Single] = {}  # noqa: RUF012 (pydantic copies it)
    local: tuple[LocalFiles, ...] = ()


class TeacherSource(Strict):
    """A teacher, its local file, and the MLLM that it is."""

    name: str
    local: tuple[LocalFiles, ...] = ()
    mllm: Profile | None = None


Source = TypeVar("Source", DatasetSource, TeacherSource)


def write(source: DatasetSource | TeacherSource, path: Path) -> None:
    """Write it as JSON, atomically."""
    write_text(path, source.model_dump_json(indent=2) + "\n")


def read(kind: type[Source], path: Path, name: str | None) -> Source:
    """What was written of the data set or teacher `name`.

    Raises:
        InputError: nothing, or of another one.
    """
    found = kind.model_validate(read_json(path)) if path.exists() else None
    if found is None or found.name != name:
        raise InputError(f"{path}: not of {name}; run python -m stages.source")
    return found
