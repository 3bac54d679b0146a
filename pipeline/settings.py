"""params.yaml as typed, validated settings.

Every stage reads its knobs here. A wrong name or value is refused before any work starts, with one
line that names the key and what it may be. Names that select a profile (`dataset`, `teacher`,
`mllm`, `head`) must exist among the profiles.
"""

from pathlib import Path
from typing import Any

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from data.splitting.settings import Split
from m3agiqa.aspects import Aspect
from m3agiqa.errors import InputError
from m3agiqa.strict import Strict, first_error
from pipeline.profiles import MLLM, Caption, Dataset, Distill, Evaluate, Head, MLLMTeacher, Runtime, Teacher, Train

PARAMS = Path("params.yaml")


class Settings(Strict):
    """The whole of params.yaml."""

    dataset: str
    aspect: Aspect
    teacher: str
    mllm: str
    head: str
    datasets: dict[str, Dataset]
    split: Split
    teachers: dict[str, Teacher]
    caption: Caption
    mllms: dict[str, MLLM]
    distill: Distill
    heads: dict[str, Head]
    train: Train
    evaluate: Evaluate
    runtime: Runtime

    @pydantic.model_validator(mode="after")
    def _names_exist(self) -> "Settings":
        for name, profiles in (("dataset", "datasets"), ("teacher", "teachers"), ("mllm", "mllms"), ("head", "heads")):
            if getattr(self, name) not in getattr(self, profiles):
                known = ", ".join(getattr(self, profiles))
                raise ValueError(f"{name} is {getattr(self, name)!r}, which is not among {profiles}: {known}")
        if self.evaluate.on is not None and self.evaluate.on not in set(self.datasets) - {self.dataset}:
            others = ", ".join(sorted(set(self.datasets) - {self.dataset}))
            raise ValueError(f"evaluate.on is {self.evaluate.on!r}, expected nothing or another data set: {others}")
        for name, teacher in self.teachers.items():
            if isinstance(teacher, MLLMTeacher) and teacher.mllm not in self.mllms:
                raise ValueError(
                    f"teachers.{name}.mllm is {teacher.mllm!r}, which is not among mllms: {', '.join(self.mllms)}"
                )
        return self


def load(path: Path = PARAMS) -> Settings:
    """Read and validate `path`. Raises InputError with the first wrong key, its value and what it may be."""
    try:
        values: Any = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run from the project's folder") from None
    except YAMLError as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    try:
        return Settings.model_validate(values)
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_error(error, values)}") from None
