"""compare on the experiments of a real DVC repository."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from evaluation import compare

ROOT = Path(__file__).parents[2]
PUBLISHED = pd.read_csv(ROOT / "evaluation/published_figures.csv")


def metrics(params: dict) -> dict:
    """What evaluate would write: two heads, one better by .02, each seed with a luck of its own."""
    seed = params["split"]["seed"]
    srcc = 0.8 + 0.01 * seed + (0.02 + 0.001 * seed) * (params["head"] == "xlstm")
    baseline = {"srcc": 0.5, "srcc_ci": [0.4, 0.6]}
    return {
        **{key: params[key] for key in ("dataset", "aspect", "mllm", "head")},
        "on": params["dataset"],
        "protocol": params["split"]["protocol"],
        "seeds": {"split": seed, "distill": 0, "train": 0, "evaluate": 0},
        "n": 150,
        "n_train": 378,
        "srcc": srcc,
        "plcc": srcc,
        "krcc": srcc,
        "rmse": 0.5,
        "srcc_within_generator": None,
        "baselines": {"generator_mean": baseline, "piqe": None},
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two heads with two seeds each as experiments, then params that nothing was run with."""
    folder = tmp_path_factory.mktemp("experiments")

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    def write(**changes) -> None:
        params = YAML(typ="safe").load(ROOT / "params.yaml") | {"dataset": "agiqa-3k", "aspect": "quality"}
        params["datasets"]["agiqa-3k"] = params["datasets"]["folder"]
        params["heads"]["mlp"] = params["heads"]["xlstm"]
        params["head"] = changes["head"]
        params["split"] |= {"protocol": changes["protocol"], "seed": changes["seed"]}
        YAML().dump(params, folder / "params.yaml")
        (folder / "results/evaluation.json").write_text(json.dumps(metrics(params)))

    run("git", "init", "--quiet")
    run(sys.executable, "-m", "dvc", "init", "--quiet")
    (folder / "results").mkdir()
    (folder / "dvc.yaml").write_text("params: [params.yaml]\n")
    write(head="xlstm", protocol="published", seed=0)
    run("git", "add", "--all")
    run("git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "-m", "start")
    for head in ("xlstm", "mlp"):
        for seed in (0, 1):
            write(head=head, protocol="published", seed=seed)
            run(sys.executable, "-m", "dvc", "exp", "save", "--name", f"{head}-{seed}")
    stale = YAML(typ="safe").load(folder / "params.yaml") | {"head": "xlstm"}
    YAML().dump(stale, folder / "params.yaml")
    run(sys.executable, "-m", "dvc", "exp", "save", "--name", "stale")
    return folder


def test_experiments_become_a_table_with_the_published_figures_beside_it(project, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project)
    monkeypatch.setattr(compare, "PUBLISHED", ROOT / "evaluation/published_figures.csv")
    compare.run(Namespace(commits=1, out=tmp_path))
    said = capsys.readouterr()
    text = said.out
    assert (tmp_path / "comparison.md").read_text() == text
    assert "| agiqa-3k | quality | published | tiny · mlp | 2 | 0.805 ± 0.007 |" in text
    assert "| agiqa-3k | quality | published | tiny · xlstm | 2 | 0.826 ± 0.008 |" in text
    assert "M3-AGIQA (arXiv 2502.15167; val and test are one set) |  | 0.9045 | 0.9317 |" in text
    assert "| agiqa-3k | quality | ipce-k ≠ | IPCE" in text
    assert "| agiqa-3k | quality | tiny · mlp | tiny · xlstm | 2 | -0.021 ± 0.001 |" in text
    assert "left out, metrics of another head than the params: 1 (stale)" in said.err
    assert "the same params and seeds as a later one: 1" in said.err  # the commit itself is xlstm-0
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 4
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary["srcc"].tolist() == pytest.approx([0.805, 0.8255])
    assert len(pd.read_csv(tmp_path / "paired.csv")) == 1


def experiments(*params: dict) -> list[dict]:
    """As `dvc exp show` lists them; a revision is called by its number."""
    revisions = [
        {"name": f"e{number}", "rev": str(number), "data": {"params": {"params.yaml": {"data": one}}}}
        for number, one in enumerate(params)
    ]
    queued = {"name": "queued", "rev": "queued", "data": {"params": {}, "metrics": {}}}
    return [{"rev": "workspace", "experiments": [{"revs": [*revisions, queued]}]}]


def test_params_that_differ_are_rows_of_their_own_and_seeds_are_not():
    base = YAML(typ="safe").load(ROOT / "params.yaml")
    seeded = base | {"split": base["split"] | {"seed": 1}, "runtime": base["runtime"] | {"batch": 1}}
    slower = base | {"train": base["train"] | {"lr": 0.0001}}
    unused = seeded | {"split": base["split"] | {"seed": 2}, "teachers": base["teachers"] | {"gemini": {}}}
    params = [base, seeded, slower, unused]
    runs, left_out = compare.gathered(
        experiments(*params), lambda commit: {} if commit == "queued" else metrics(params[int(commit)])
    )
    assert runs["variant"].tolist() == ["train.lr=0.001", "train.lr=0.001", "train.lr=0.0001", "train.lr=0.001"]
    assert list(left_out) == ["queued"]


def test_every_published_figure_says_where_it_is_from():
    assert len(PUBLISHED) == 36
    assert PUBLISHED.drop(columns="plcc").notna().all(axis=None)
    assert PUBLISHED["srcc"].between(0, 1).all()


def test_no_experiment_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(compare.InputError, match="dvc exp show failed"):
        compare.run(Namespace(commits=1, out=None))
