"""dvc.yaml against the code: what a stage imports of ours is among its deps, or stated to change no result."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
# How fast, where to, in which words: never what.
NO_RESULT = {
    "analyzers/asking.py",
    "analyzers/estimate.py",
    "analyzers/gpu.py",
    "analyzers/limits.py",
    "data/errors.py",
    "data/files.py",
    "stages/device.py",
    "stages/paths.py",
    "stages/processes.py",
    "stages/progress.py",
    "stages/run.py",
    "stages/settings.py",
}


def imported(path: Path, seen: set[str]) -> set[str]:
    """Our modules that a module imports, and those that these import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            base = ROOT.joinpath(*name.split("."))
            for file in (base.with_suffix(".py"), base / "__init__.py"):
                relative = file.relative_to(ROOT).as_posix()
                if file.is_file() and relative not in seen | NO_RESULT:
                    seen.add(relative)
                    imported(file, seen)
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_that_it_runs(stage):
    deps = [dep for dep in STAGES[stage]["deps"] if "$" not in dep]
    used = imported(ROOT / "stages" / f"{stage}.py", {f"stages/{stage}.py"})
    empty = {name for name in used if name.endswith("__init__.py") and name.count("/") == 1}
    missing = {name for name in used - empty if not any(name == dep or name.startswith(f"{dep}/") for dep in deps)}
    assert not missing


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_depends_on_exists(stage):
    for dep in STAGES[stage]["deps"]:
        made = "$" in dep or any(dep in STAGES[other].get("outs", []) for other in STAGES)
        assert made or (ROOT / dep).exists()
