"""A preset: what an experiment sets in params.yaml, what it needs, and which published figures it is held against."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import pydantic
from pydantic import Field
from ruamel.yaml import YAML

from m3agiqa.aspects import Aspect
from m3agiqa.errors import InputError
from m3agiqa.strict import Strict, first_error
from pipeline import settings

FOLDER = Path(__file__).parent
PUBLISHED = FOLDER.parent / "evaluation" / "published_figures.csv"
METHOD = "M3-AGIQA"

Value = str | int | float | bool | list[str] | None
Params = dict[str, Value]  # by the path of the key, such as train.lr


class Preset(Strict):
    """One file of this folder; with its `base`, whose params stand before its own."""

    about: str
    base: str | None = None
    needs: list[str] = Field(default_factory=list)
    aspects: dict[Aspect, Params] = Field(default_factory=dict)  # what each sets besides
    params: Params = Field(default_factory=dict)

    @classmethod
    def named(cls, name: str) -> Self:
        """The preset of the file `name`.yaml.

        Raises:
            InputError: there is none.
        """
        path = FOLDER / f"{name}.yaml"
        if not path.is_file():
            raise InputError(f"no preset {name!r}; there are {', '.join(names())}")
        return cls._read(path)

    @classmethod
    def _read(cls, path: Path) -> Self:
        values = YAML(typ="safe", pure=True).load(path)
        try:
            preset = cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise InputError(f"{path}: {first_error(error, values)}") from None
        if preset.base is None:
            return preset
        base = cls._read(FOLDER / f"{preset.base}.yaml")
        return preset.model_copy(
            update={
                "needs": preset.needs or base.needs,
                "aspects": preset.aspects or base.aspects,
                "params": base.params | preset.params,
            }
        )

    def of(self, aspect: str) -> Params:
        """All that it sets for one aspect.

        Raises:
            InputError: the data set was not rated on it.
        """
        own = {str(name): params for name, params in self.aspects.items()}
        if aspect not in own:
            raise InputError(f"this preset has no aspect {aspect!r}; there are {', '.join(own)}")
        return {"aspect": aspect, **self.params, **own[aspect]}


def names() -> list[str]:
    """The presets that can be run: a base alone has no aspects."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if Preset.named(path.stem).aspects)


def check(params: Params) -> None:
    """Refuse what params.yaml, with these in it, would not take.

    Raises:
        InputError: a key that is not there, or a value that it may not have.
    """
    values = settings.values()
    for key, value in params.items():
        _set(values, key.split("."), value, key)
    settings.checked(values, settings.PARAMS)


def _set(values: Any, path: Sequence[str], value: Value, key: str) -> None:
    for name in path[:-1]:
        values = values.get(name) if isinstance(values, Mapping) else None
    if not isinstance(values, dict) or path[-1] not in values:
        raise InputError(f"{settings.PARAMS}: there is no {key}")
    values[path[-1]] = value


def overrides(params: Params) -> list[str]:
    """`key=value` each, as `dvc exp run -S` takes them: JSON is what Hydra reads, too."""
    return [f"{key}={json.dumps(value)}" for key, value in params.items()]


class Published(NamedTuple):
    """The authors' figures, and how they came about."""

    srcc: float
    plcc: float
    source: str


def published(dataset: str, aspect: str) -> Published | None:
    """What the paper has for a data set and an aspect."""
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if (row["method"], row["dataset"], row["aspect"]) == (METHOD, dataset, aspect):
                return Published(float(row["srcc"]), float(row["plcc"]), row["source"])
    return None
