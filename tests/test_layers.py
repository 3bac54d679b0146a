"""Which of our packages may import which: one way, and no module in a circle."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each package, and those that it may import besides itself.
LAYERS = {
    "m3agiqa": set(),
    "data": {"m3agiqa"},
    "pipeline": {"data", "m3agiqa"},
    "evaluation": {"pipeline", "data", "m3agiqa"},
    "analyzers": {"pipeline", "data", "m3agiqa"},
    "finetune": {"evaluation", "pipeline", "data", "m3agiqa"},
    "report": {"evaluation", "pipeline", "data", "m3agiqa"},
    "presets": {"pipeline", "data", "m3agiqa"},
    "stages": {"analyzers", "finetune", "report", "evaluation", "pipeline", "data", "m3agiqa"},
}


def file_of(module: str) -> Path | None:
    """The file of one of our modules, if there is such a module."""
    base = ROOT.joinpath(*module.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def modules(package: str) -> list[str]:
    return [module_of(file) for file in sorted((ROOT / package).rglob("*.py"))]


@cache
def imports(module: str) -> frozenset[str]:
    """What a module imports, wherever in it and for whatever: our modules by their full names, others as written."""
    file = file_of(module)
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            within = {f"{source}.{alias.name}" for alias in node.names}
            found |= {name for name in within if file_of(name)}
            if not all(map(file_of, within)):  # something that the package's own file defines
                found.add(source)
    return frozenset(found - {module})


def test_the_packages_are_all_of_ours():
    with_code = {file.parent.relative_to(ROOT).parts[0] for file in ROOT.glob("[a-z]*/__init__.py")}
    assert with_code - {"benchmarks", "tests"} == LAYERS.keys()


@pytest.mark.parametrize("package", LAYERS)
def test_imports_point_one_way(package):
    wrong = {
        f"{module} imports {name}"
        for module in modules(package)
        for name in imports(module)
        if name.partition(".")[0] in LAYERS.keys() - LAYERS[package] - {package}
    }
    assert not wrong


def test_packages_import_no_tests_or_benchmarks():
    names = {name for package in LAYERS for module in modules(package) for name in imports(module)}
    assert not {name for name in names if name.partition(".")[0] in ("tests", "benchmarks")}


def test_no_modules_import_each_other():
    ours = [module for package in LAYERS for module in modules(package)]
    graph = {module: {name for name in imports(module) if name.partition(".")[0] in LAYERS} for module in ours}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_two_stages_do_what_others_do():
    leaning = {module for module in modules("stages") for name in imports(module) if name.startswith("stages.")}
    assert leaning == {"stages.cross", "stages.train_fast"}


def test_nothing_leans_on_a_plug():
    ours = {module for package in LAYERS for module in modules(package)}
    plugs = {module for module in ours if module.startswith("m3agiqa.plugs")}
    assert len(plugs) > 1
    assert not {module for module in ours - plugs for name in imports(module) if name.startswith("m3agiqa.plugs")}
