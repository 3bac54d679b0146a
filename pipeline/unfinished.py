"""A stage's unfinished work: kept outside the outs, which DVC deletes before it runs a stage.

It hangs under DVC_ROOT, which names the user's repository also when `dvc exp run --temp` runs a copy of it, and is
named by what the result depends on: the inputs, the stage's own deps in dvc.yaml, and the versions of the libraries
that decide the numbers. So an edit after which DVC reruns the stage never finds the work of the code before it.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from m3agiqa.files import fingerprint, folder_sha256, sha256
from m3agiqa.scratch import Scratch
from m3agiqa.versions import versions
from pipeline.ranks import is_first

PROJECT = Path(__file__).parents[1]  # where the code lies that runs
KEY = 16  # hexadecimal digits of a folder's name


def cache() -> Path:
    """Where unfinished work and paid answers lie."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".cache"


def unfinished(stage: str, inputs: Any, *, wait: Callable[[], None] = lambda: None) -> Scratch:
    """The folder of this stage's work on `inputs`, to be used as a context; `wait` is for all processes of the run."""
    code = {dep: _sha256(PROJECT / dep) for dep in deps_in_git(stage)}
    return kept(stage, [inputs, code, versions()], wait=wait)


def kept(what: str, inputs: Any, *, wait: Callable[[], None] = lambda: None) -> Scratch:
    """The same for what no code of ours can change, such as a download."""
    return Scratch(cache() / what / fingerprint(inputs)[:KEY], first=is_first(), wait=wait)


def deps_in_git(stage: str) -> list[str]:
    """The stage's deps that are neither named by a param nor made by another stage: its code."""
    stages = YAML(typ="safe", pure=True).load(PROJECT / "dvc.yaml")["stages"]
    made = {name for other in stages.values() for name in _names(other)}
    return [dep for dep in stages[stage]["deps"] if "$" not in dep and dep not in made]


def _sha256(path: Path) -> str:
    return folder_sha256(path) if path.is_dir() else sha256(path)


def _names(stage: dict[str, Any]) -> list[str]:
    """What a stage writes; an out with options is a mapping of one key."""
    outs = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
    return [name for out in outs for name in ([out] if isinstance(out, str) else out)]
