"""Presets: params.yaml takes what they set, DVC reads it as they mean it, and the command runs with it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from m3agiqa.errors import InputError
from pipeline import settings
from presets.preset import Preset, check, names, overrides, published
from tests.author import AUTHOR

ROOT = Path(__file__).parents[2]
ALL = [(name, aspect) for name in names() for aspect in Preset.named(name).aspects]
STAGE = """
stages:
  keep:
    cmd: cp params.yaml kept.yaml
    params: [dataset, aspect, train]
    outs: [kept.yaml]
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "aspect"), ALL)
def test_dvc_reads_what_the_preset_means_and_the_settings_take_it(project, name, aspect):
    params = Preset.named(name).of(aspect)
    check(params)
    apply_overrides(project / "params.yaml", overrides(params))
    found = settings.values(project / "params.yaml")
    settings.checked(found, project / "params.yaml")
    for key, value in params.items():
        at = found
        for part in key.split("."):
            at = at[part]
        assert at == value, key


@pytest.mark.parametrize(("name", "aspect"), ALL)
def test_each_says_what_it_needs_and_what_the_paper_reached(name, aspect):
    preset = Preset.named(name)
    assert preset.needs
    assert published(preset.params["dataset"], aspect) is not None


def test_a_preset_has_its_bases_params_but_where_it_has_its_own():
    paper, honest = (Preset.named(name).of("quality") for name in ("paper-agiqa-3k", "honest-agiqa-3k"))
    assert {key for key in paper if paper[key] != honest[key]} == {"split.protocol"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"train.lrate": 1.0}, "params.yaml: there is no train.lrate"),
        ({"trainer.lr": 1.0}, "params.yaml: there is no trainer.lr"),
        ({"train.lr": -1.0}, "params.yaml: train.lr: Input should be greater than 0"),
    ],
)
def test_what_params_yaml_would_not_take_is_said_before_anything_runs(project, params, message):
    with pytest.raises(InputError, match=message):
        check(params)


@pytest.mark.parametrize(
    ("name", "aspect", "message"),
    [
        ("papers", "quality", "no preset 'papers'; there are adapter-agiqa-3k, "),
        ("paper-agiqa-3k", "authenticity", "no aspect 'authenticity'; there are quality, correspondence"),
    ],
)
def test_a_wrong_name_is_told_with_those_there_are(name, aspect, message):
    with pytest.raises(InputError, match=message):
        Preset.named(name).of(aspect)


def test_the_command_says_it_all_and_runs_dvc_with_the_params(project):
    (project / "dvc.yaml").write_text(STAGE)
    (project / ".gitignore").write_text("/kept.yaml\n")
    for command in ("git init -q", "dvc init -q", "git add .", "git commit -qm one"):
        subprocess.run(command.split(), check=True, env=_environment())
    command = [sys.executable, "-m", "presets", "paper-agiqa-3k", "correspondence", "-S", "train.epochs=2"]
    dry = subprocess.run([*command, "--dry-run"], check=True, env=_environment(), capture_output=True, text=True)
    assert "The paper has SRCC 0.8523 and PLCC 0.9142" in dry.stdout
    assert "- train.lr=1e-05" in dry.stdout
    assert not (project / "kept.yaml").exists()
    subprocess.run(command, check=True, env=_environment(), capture_output=True)
    kept = settings.load(project / "kept.yaml")
    assert (kept.dataset, kept.aspect, kept.head) == ("agiqa-3k", "correspondence", "paper")
    assert (kept.train.lr, kept.train.epochs, kept.train.max_norm) == (1e-5, 2, None)


def _environment():
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | AUTHOR | {"PATH": path, "PYTHONPATH": str(ROOT)}
