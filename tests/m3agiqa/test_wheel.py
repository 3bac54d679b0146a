"""The wheel: the library with its judge, and what it needs, where there is no clone and no network.

The judge and its model are miniatures here, laid where the real ones lie: tests/m3agiqa/test_judge.py is about those.
"""

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.utils import canonicalize_name

from m3agiqa.bundle import cards, pack
from m3agiqa.commands import demo
from m3agiqa.commands.options import engine_of
from m3agiqa.errors import InputError
from m3agiqa.model_card import render
from m3agiqa.tables import pyarrow
from tests.tiny_mllm import picture

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "m3agiqa"
PIPELINE = ("stages", "pipeline", "data", "analyzers", "finetune", "evaluation", "report")
# `python -m m3agiqa …`, and the library after it, in one process: torch takes seconds to import.
SCORE = """
import json, runpy, sys
runpy.run_module("m3agiqa", run_name="__main__", alter_sys=True)
from m3agiqa import Scorer
(score,) = Scorer.load("bundle", device="cpu")(["cat.png"], ["a red cat"], aspect="quality")
print(json.dumps([score.status, score.score]))
"""
OFFLINE = """
import socket, sys
from m3agiqa.__main__ import main

def refuse(*_, **__):
    raise SystemExit("the network was asked for")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
for arguments in sys.argv[1:]:
    sys.argv[1:] = arguments.split()
    main()
    print("scored", file=sys.stderr)
"""


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def pip(*arguments: str | Path, cwd: Path) -> None:
    ran = run(sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", *arguments, cwd=cwd)
    assert ran.returncode == 0, ran.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, small_judge):
    """Built from a copy of what git tracks or would track, with a miniature in the place of each model and judge."""
    source, built = (tmp_path_factory.mktemp(name) for name in ("source", "built"))
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in filter(None, subprocess.run(asked, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")):
        file = ROOT / os.fsdecode(name)
        if file.is_file():
            (source / file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, source / file.relative_to(ROOT))
    for name in ("small", "judge"):
        shutil.rmtree(source / "models" / name, ignore_errors=True)
        shutil.copytree(small_judge / name, source / "models" / name)
    shutil.copytree(small_judge / "judge", source / "models/judge-noncommercial", dirs_exist_ok=True)
    pip("wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", built, source, cwd=built)
    (wheel,) = built.iterdir()
    return wheel


@pytest.fixture(scope="module")
def files(wheel):
    with zipfile.ZipFile(wheel) as packed:
        return packed.namelist()


@pytest.fixture(scope="module")
def metadata(wheel, files):
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (name for name in files if name.endswith(".dist-info/METADATA"))
        return Metadata.from_email(packed.read(name))


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """An environment with the wheel in it: it sees the libraries that are installed here, and no clone."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    assert run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent).returncode == 0
    python = folder / "bin/python"
    purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip()
    (Path(purelib) / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip("--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel, cwd=folder)
    return folder / "bin"


@pytest.fixture(scope="module")
def elsewhere(parts, tmp_path_factory):
    """A folder with a bundle and an image, and nothing of a clone."""
    folder = tmp_path_factory.mktemp("elsewhere")
    quality = {"quality": parts["quality"]}
    pack(quality, folder / "bundle", render(cards(quality)))
    picture(60).save(folder / "cat.png")
    return folder


def trees(*paths: Path) -> list[ast.Module]:
    return [ast.parse(path.read_text(encoding="utf-8")) for path in paths or sorted(LIBRARY.rglob("*.py"))]


def imported(*paths: Path) -> set[str]:
    """The packages that modules import, all of the library's if no paths are given."""
    found = set()
    for node in (node for tree in trees(*paths) for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
    return {name.partition(".")[0] for name in found}


def distributions(packages: set[str]) -> set[str]:
    """Who installs them, less Python and ourselves."""
    installed = packages_distributions()
    return {
        canonicalize_name(name)
        for package in packages - sys.stdlib_module_names - {"m3agiqa"}
        for name in installed.get(package, [package])
    }


def required(metadata: Metadata, extra: str = "") -> set[str]:
    return {
        canonicalize_name(requirement.name)
        for requirement in metadata.requires_dist
        if (requirement.marker is None) == (not extra)
        and (requirement.marker is None or requirement.marker.evaluate({"extra": extra}))
    }


def test_it_holds_the_library_alone(files, metadata):
    info = f"{metadata.name}-{metadata.version}.dist-info/"
    assert {name for name in files if not name.startswith(("m3agiqa/", info))} == set()
    assert {f"{info}METADATA", f"{info}entry_points.txt", f"{info}licenses/LICENSE"} <= set(files)


def test_it_holds_all_of_the_library(files):
    expected = {
        file.relative_to(ROOT).as_posix()
        for file in LIBRARY.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {"m3agiqa/templates/gallery.html", "m3agiqa/mllm/prompts/rate.txt"} <= expected
    assert {name for name in files if name.startswith("m3agiqa/") and "/models/" not in name} == expected


def test_it_holds_the_judge_and_its_model_and_no_other(files, small_judge):
    expected = {
        f"m3agiqa/models/{file.relative_to(small_judge)}"
        for name in ("small", "judge")
        for file in (small_judge / name).rglob("*")
        if file.is_file()
    }
    assert {name for name in files if "/models/" in name} == expected


def test_it_requires_what_the_library_imports(metadata):
    extras = {"demo": sorted(LIBRARY.glob("page*.py")), "serve": [LIBRARY / "server.py", LIBRARY / "gate.py"]}
    extras["ray"] = [LIBRARY / "cluster.py"]
    others = set(LIBRARY.rglob("*.py")) - {path for paths in extras.values() for path in paths}
    others.remove(LIBRARY / "head" / "slstm_kernels.py")  # needs triton, which torch brings where it can be used
    assert required(metadata) == distributions(imported(*others))
    for extra, paths in extras.items():
        assert required(metadata, extra) == distributions(imported(*paths)) - required(metadata)


def test_what_it_requires_is_what_is_tested(metadata):
    installed = {canonicalize_name(name) for names in packages_distributions().values() for name in names}
    for requirement in metadata.requires_dist:
        if canonicalize_name(requirement.name) in installed:
            assert requirement.specifier.contains(version(requirement.name)), requirement


def test_the_library_knows_nothing_of_the_pipeline():
    assert not imported() & {*PIPELINE, "tests", "benchmarks"}
    nodes = (node for tree in trees() for node in ast.walk(tree))
    words = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    named = re.compile(rf"({'|'.join(PIPELINE)})(\.[a-z_]+)+")
    assert {word for word in words if named.fullmatch(word)} == {"evaluation.compare"}


def test_an_extra_is_named_as_it_is_installed(metadata, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "m3agiqa.page", raising=False)
    with pytest.raises(InputError, match=re.escape(f"{metadata.name}[demo]")):
        demo.run(argparse.Namespace())
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "m3agiqa.cluster", raising=False)
    monkeypatch.delattr("m3agiqa.cluster", raising=False)
    with pytest.raises(InputError, match=re.escape(f"{metadata.name}[ray]")):
        engine_of(argparse.Namespace(engine="ray"))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match=re.escape(f"{metadata.name}[parquet]")):
        pyarrow("x")
    assert metadata.provides_extra == ["demo", "parquet", "ray", "serve"]


def test_it_is_what_is_imported(programs, elsewhere):
    code = "from importlib.util import find_spec; import m3agiqa; print(m3agiqa.__file__, find_spec('stages'))"
    ran = run(programs / "python", "-c", code, cwd=elsewhere)
    file, stages = ran.stdout.split()
    assert Path(file).is_relative_to(programs.parent)
    assert stages == "None"


def test_it_scores_where_there_is_no_clone(programs, elsewhere):
    commands = {"script": [programs / "m3agiqa"], "module": [programs / "python", "-c", SCORE]}
    asked = ["cat.png", "--prompt", "a red cat", "--bundle", "bundle", "--device", "cpu"]
    found = {}
    for name, command in commands.items():
        ran = run(*command, "predict", *asked, "--out", name, cwd=elsewhere)
        assert ran.returncode == 0, ran.stderr
        (line,) = (elsewhere / name / "scores.jsonl").read_text().splitlines()
        found[name] = json.loads(line)
    status, score = json.loads(ran.stdout.splitlines()[-1])
    assert status == "ok"
    assert 0 <= score <= 5
    assert found["script"] == found["module"]
    assert {path.name for path in elsewhere.iterdir()} == {"bundle", "cat.png", "script", "module"}


def test_its_judge_scores_without_a_network(programs, elsewhere):
    """Nothing even tries: a socket that is asked for ends the run, and so does the name of a host."""
    asked = "predict cat.png --device cpu --out own", "predict cat.png --aspect correspondence"
    ran = run(programs / "python", "-c", OFFLINE, *asked, cwd=elsewhere)
    shutil.rmtree(elsewhere / "own", ignore_errors=True)
    assert ran.returncode == 2, ran.stderr  # of the second, which is refused
    scored, refused = ran.stderr.split("scored\n")
    assert re.search(r"quality +\d\.\d\d  \(\d\.\d\d to \d\.\d\d\)  \w+", ran.stdout)
    assert "predict: correspondence is left out: it needs a model that reads images and text together" in scored
    (line,) = refused.splitlines()
    assert "docs/models.md says how to get one" in line


def test_what_needs_a_clone_says_so_in_one_line(programs, elsewhere):
    for command in ([programs / "m3agiqa"], [programs / "python", "-m", "m3agiqa"]):
        ran = run(*command, "compare", cwd=elsewhere)
        assert ran.returncode == 2
        assert ran.stderr.splitlines() == ["compare: works in a clone of the project: python -m m3agiqa compare"]
