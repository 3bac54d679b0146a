"""A small copy of the project, with its DVC, in a folder of its own: for the tests of the whole."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file

from tests.author import AUTHOR

ROOT = Path(__file__).parents[1]
STAGES = ("source", "download", "split", "caption", "distill", "describe", "features", "train")
STAGES += ("train_fast", "cross", "evaluate", "card", "report")
SMALL = {
    "datasets.synthetic.prompts": 15,  # 90 images: two parts of a feature store, either of which takes its time
    "datasets.synthetic.size": 64,
    "mllms.tiny.max_new_tokens": 24,
    "mllms.tiny.recipe.epochs": 1,
    "heads.xlstm.dim": 32,
    "heads.xlstm.blocks": 2,
    "heads.xlstm.slstm_at": [1],
    "train.epochs": 2,
    "evaluate.bootstrap": 50,
}
LAYERS = 2  # of tiny's six, in its eyes as in its language
LARGE = ("models/judge", "models/small/model")  # no stage looks into them


@dataclass
class Project:
    """A git and DVC repository in a folder of its own; its `programs` are this interpreter's, or tests/warm.py's."""

    path: Path
    programs: Path = Path(sys.executable).parent

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the project, with its programs first on the path."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_"))}
        environment["PATH"] = os.pathsep.join([str(self.programs), environment["PATH"]])
        environment |= AUTHOR | {"COLUMNS": "300"}
        ran = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, check=False)
        if check and ran.returncode:
            pytest.fail(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stdout}\n{ran.stderr}")
        return ran

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("dvc", *arguments, check=check)

    def set_params(self, **changes: object) -> None:
        """Change keys of params.yaml ("a.b" for nested ones)."""
        yaml = YAML()
        values = yaml.load(self.path / "params.yaml")
        for key, value in changes.items():
            *parents, last = key.split(".")
            section = values
            for parent in parents:
                section = section[parent]
            section[last] = value
        yaml.dump(values, self.path / "params.yaml")

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "-m", message)

    def metrics(self) -> dict:
        return json.loads((self.path / "results/metrics.json").read_text())

    def evaluation(self) -> dict:
        return json.loads((self.path / "results/evaluation.json").read_text())

    def lock(self) -> dict:
        """The hashes of every dep and out of every stage."""
        return YAML(typ="safe").load(self.path / "dvc.lock")["stages"]

    def copy(self, path: Path) -> "Project":
        """The whole folder again, cache and unfinished work included."""
        shutil.copytree(self.path, path, symlinks=True)
        return replace(self, path=path)


def ran(said: subprocess.CompletedProcess[str]) -> list[str]:
    """The stages that a DVC command ran; `source` looks at the local files every time."""
    return [stage for stage in STAGES if f"Running stage '{stage}'" in said.stdout and stage != "source"]


def new_project(path: Path, programs: Path = Project.programs) -> Project:
    """The files that git tracks or would track, in a fresh repository, with small params and no results."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and name != "dvc.lock" and not name.startswith(("results/", "tests/", *LARGE)):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    shorten(path / "models/tiny", LAYERS)
    project = Project(path, programs)
    project.run("git", "init", "--quiet")
    project.set_params(**SMALL)
    project.commit("start")
    return project


def shorten(model: Path, layers: int) -> None:
    """Keep a model's first layers: it sees and says less, in a fraction of the time."""
    config = json.loads((model / "config.json").read_text())
    for part in ("text_config", "vision_config"):
        config[part]["num_hidden_layers"] = layers
    (model / "config.json").write_text(json.dumps(config))
    weights = load_file(model / "model.safetensors")
    kept = {
        name: weight
        for name, weight in weights.items()
        if not (found := re.search(r"\.layers\.(\d+)\.", name)) or int(found[1]) < layers
    }
    save_file(kept, model / "model.safetensors", {"format": "pt"})
