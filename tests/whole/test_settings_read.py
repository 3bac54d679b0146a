"""dvc.yaml against the settings: what a stage reads is among its params, and each of its params is read."""

import re
from contextlib import nullcontext
from importlib import import_module

import pydantic
import pytest
from ruamel.yaml import YAML

from m3agiqa.errors import InputError
from m3agiqa.strict import Strict
from pipeline import settings
from tests.small_project import ROOT, STAGES

DAG = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
RUNTIME = "runtime"  # no stage's param: how fast, never what
OTHER = {"reader": "synthetic", "seed": 1, "prompts": 6, "size": 64, "raters": 4}
# What only shows where it is chosen: another teacher, another data set's test images.
CHOSEN = {
    "caption": [{"teacher": "mllm", "teachers.mllm.mllm": "tiny"}],
    "cross": [{"evaluate.on": "other"}],
    "evaluate": [{"evaluate.on": "other"}],
}
OUTCOMES = {"caption": "have no description"}  # a teacher of four tokens is no teacher, but all is read before that


class Reads:
    """Which leaves of the settings are read, by dotted name."""

    def __init__(self, monkeypatch):
        self.names: dict[int, str] = {}
        self.read: set[str] = set()
        monkeypatch.setattr(Strict, "__getattribute__", self._watched(Strict.__getattribute__))
        monkeypatch.setattr(Strict, "model_dump", self._dumped(Strict.model_dump))

    def follow(self, value: object, name: str = "") -> None:
        """Give each model below its name."""
        if isinstance(value, pydantic.BaseModel):
            self.names[id(value)] = name
            for field in type(value).model_fields:
                self.follow(value.__dict__[field], f"{name}.{field}".strip("."))
        elif isinstance(value, dict):
            for key, inner in value.items():
                self.follow(inner, f"{name}.{key}")

    def _watched(self, original):
        def get(model, field):
            value = original(model, field)
            if field in type(model).model_fields and (name := self.names.get(id(model))) is not None:
                inside = list(value.values()) if isinstance(value, dict) else [value]
                if not any(isinstance(one, pydantic.BaseModel) for one in inside):
                    self.read.add(f"{name}.{field}".strip("."))
            return value

        return get

    def _dumped(self, original):
        def dump(model, **options):
            found = original(model, **options)
            if (name := self.names.get(id(model))) is not None:
                self.read |= {f"{name}.{field}" for field in found}
            return found

        return dump


@pytest.fixture(scope="module")
def project(reproduced, tmp_path_factory):
    return reproduced.copy(tmp_path_factory.mktemp("settings") / "project")


def params_of(stage: str, chosen: settings.Settings) -> list[str]:
    """Its params with their ${…} filled in."""
    values = {name: getattr(chosen, name) for name in ("dataset", "aspect", "teacher", "mllm", "head")}
    return [re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], name) for name in DAG[stage]["params"]]


def covers(param: str, read: str) -> bool:
    return read == param or read.startswith(f"{param}.")


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "source"])
def test_a_stage_reads_its_params_and_no_other(project, stage, tmp_path, monkeypatch):
    """Unfinished work of the reproduced run is found again, so that hardly anything is computed twice."""
    work = project.copy(tmp_path / "project")
    monkeypatch.chdir(work.path)
    monkeypatch.setenv("DVC_ROOT", str(work.path))
    read, params = set(), set()
    for changes in ({}, *CHOSEN.get(stage, ())):
        if changes:
            work.set_params(**{"datasets.other": OTHER, "mllms.tiny.max_new_tokens": 4, **changes})
        chosen = settings.load()
        import_module("stages.source").main(chosen)
        if changes and stage == "evaluate":
            import_module("stages.cross").main(chosen)
        with monkeypatch.context() as watching:
            reads = Reads(watching)
            reads.follow(chosen)
            with pytest.raises(InputError, match=OUTCOMES[stage]) if changes and stage in OUTCOMES else nullcontext():
                import_module(f"stages.{stage}").main(chosen)
        read |= reads.read
        params |= set(params_of(stage, chosen))
    assert not {name for name in read if not any(covers(param, name) for param in [*params, RUNTIME])}
    assert not {param for param in params if not any(covers(param, name) for name in read)}
