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

from data.splitting.published import has_lists
from data.splitting.settings import Split
from m3agiqa.aspects import Aspect
from m3agiqa.errors import InputError
from m3agiqa.strict import Strict, first_error
from pipeline import data_sets
from pipeline.data_sets import Dataset, Joined, Single
from pipeline.profiles import MLLM, Caption, Describe, Distill, Evaluate, Head, MLLMTeacher, Runtime, Teacher, Train

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
    describe: Describe
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
        for name, teacher in self.teachers.items():
            if isinstance(teacher, MLLMTeacher) and teacher.mllm not in self.mllms:
                raise ValueError(
                    f"teachers.{name}.mllm is {teacher.mllm!r}, which is not among mllms: {', '.join(self.mllms)}"
                )
        return self

    @pydantic.model_validator(mode="after")
    def _the_split_fits_a_joined_data_set(self) -> "Settings":
        data_sets.check(self.datasets)
        on, members = self.split.on, self.members_of(self.dataset)
        if on is not None and (on not in members or self.evaluate.on is not None):
            expected = f", or one of {', '.join(members)} without evaluate.on" if members else ""
            raise ValueError(f"split.on is {on!r}, and dataset {self.dataset!r}: expected nothing{expected}")
        if self.split.protocol == "published" and on is None and (listed := [*filter(has_lists, members)]):
            raise ValueError(
                f"split.protocol is published, and the lists of {listed[0]} hold where it is alone: set split.on, take "
                f"another protocol, or leave it out of datasets.{self.dataset}.of"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _what_is_tested_on_is_not_learnt(self) -> "Settings":
        on, others = self.evaluate.on, set(self.datasets) - {self.dataset}
        if on is None:
            return self
        if on not in others:
            raise ValueError(
                f"evaluate.on is {on!r}, expected nothing or another data set: {', '.join(sorted(others))}"
            )
        if both := {self.dataset, *self.members_of(self.dataset)} & {on, *self.members_of(on)}:
            raise ValueError(
                f"evaluate.on is {on!r}, and {self.dataset!r} has images of {min(both)} too: expected a data set that "
                "nothing is learnt from"
            )
        return self

    @property
    def described(self) -> tuple[Aspect, ...]:
        """The aspects that a description is about, in order."""
        return tuple(self.describe.aspects or [self.aspect])

    @property
    def max_new_tokens(self) -> int:
        """Of a description, whatever it is about."""
        return self.mllms[self.mllm].max_new_tokens * len(self.described)

    def members_of(self, dataset: str) -> dict[str, Single]:
        """The data sets that a joined one is made of, by name; none for another."""
        profile = self.datasets.get(dataset)
        named = {name: self.datasets[name] for name in profile.of} if isinstance(profile, Joined) else {}
        return {name: single for name, single in named.items() if not isinstance(single, Joined)}  # as checked


def load(path: Path = PARAMS) -> Settings:
    """Read and validate `path`. Raises InputError with the first wrong key, its value and what it may be."""
    return checked(values(path), path)


def values(path: Path = PARAMS) -> Any:
    """What stands in `path`, as it is. Raises InputError where it is missing or no YAML."""
    try:
        return YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run from the project's folder") from None
    except YAMLError as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def checked(values: Any, path: Path) -> Settings:
    """The settings with these values, which `path` is said to have. Raises InputError as `load` does."""
    try:
        return Settings.model_validate(values)
    except pydantic.ValidationError as error:
        raise InputError(f"{path}: {first_error(error, values)}") from None
