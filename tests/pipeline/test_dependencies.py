"""dvc.yaml against the code: a stage's deps are the code that it runs, nothing missing, nothing superfluous."""

import ast
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.unfinished import deps_in_git

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
DEPENDENT = [name for name, stage in STAGES.items() if not stage.get("always_changed")]
# How a stage starts, waits, speaks and where it writes; never what. Params reach a result as params.
PLUMBING = ("pipeline/", "stages/__init__.py", "m3agiqa/errors.py", "m3agiqa/exits.py", "m3agiqa/progress.py")
# What nobody imports by name: the module that params.yaml names, and the files beside the modules that read them.
BY_NAME = {
    "data/readers/__init__.py": "data/readers/*.py",
    "analyzers/gemini/teacher.py": "analyzers/gemini/google_*.py",
    "m3agiqa/mllm/conversation.py": "m3agiqa/mllm/prompts/*.txt",
    "analyzers/brief.py": "analyzers/prompts/*.txt",
    "data/splitting/published/__init__.py": "data/splitting/published/*.csv",
    "report/page.py": "report/templates/*",
}


@cache
def imports(path: str) -> frozenset[str]:
    """Our files that a module imports or reads."""
    found = {str(file.relative_to(ROOT)) for file in ROOT.glob(BY_NAME.get(path) or "\0")}
    code = (ROOT / path).read_text(encoding="utf-8") if path.endswith(".py") else ""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            base = ROOT.joinpath(*name.split("."))
            files = (base.with_suffix(".py"), base / "__init__.py")
            found |= {str(file.relative_to(ROOT)) for file in files if file.is_file()}
    return frozenset(found)


def used(stage: str) -> set[str]:
    """The files that decide what a stage writes: its module, and all that it and they import."""
    found, waiting = set(), [f"stages/{stage}.py"]
    while waiting:
        path = waiting.pop()
        if path not in found and not path.startswith(PLUMBING):
            found.add(path)
            waiting += imports(path)
    return {path for path in found if not _only_words(path)}


def _only_words(path: str) -> bool:
    """A package's __init__.py that holds nothing but its docstring."""
    return path.endswith("__init__.py") and len(ast.parse((ROOT / path).read_text(encoding="utf-8")).body) < 2


def code_deps(stage: str) -> list[str]:
    """Its deps but for the embedded models and what other stages make."""
    return [dep for dep in deps_in_git(stage) if not dep.startswith("models/")]


def covers(dep: str, path: str) -> bool:
    return path == dep or path.startswith(f"{dep}/")


@pytest.mark.parametrize("stage", DEPENDENT)
def test_no_code_of_a_stage_is_missing_among_its_deps(stage):
    deps = code_deps(stage)
    assert not {path for path in used(stage) if not any(covers(dep, path) for dep in deps)}


@pytest.mark.parametrize("stage", DEPENDENT)
def test_no_dep_of_a_stage_is_superfluous(stage):
    files = used(stage)
    assert not [dep for dep in code_deps(stage) if not any(covers(dep, path) for path in files)]


@pytest.mark.parametrize("stage", DEPENDENT)
def test_every_dep_is_there_or_made(stage):
    assert not [dep for dep in deps_in_git(stage) if not (ROOT / dep).exists()]


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_depends_on_how_fast(stage):
    """A laptop and a GPU share results."""
    assert not [name for name in STAGES[stage].get("params", []) if name.partition(".")[0] == "runtime"]


def test_what_comes_before_distill_is_for_all_aspects():
    """So that another aspect costs no teacher."""
    before = list(STAGES)[: list(STAGES).index("distill")]
    assert before == ["source", "download", "split", "caption"]
    assert not [stage for stage in before if "aspect" in STAGES[stage].get("params", [])]
    assert not [stage for stage in before if "${aspect}" in str(STAGES[stage])]
