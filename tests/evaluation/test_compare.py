"""compare on the experiments of a real DVC repository."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from evaluation import compare
from evaluation.experiments import Experiment
from tests.author import AUTHOR

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
        "n": 60,
        "n_train": 40,
        "n_val": 20,
        "srcc": srcc,
        "plcc": srcc,
        "krcc": srcc,
        "rmse": 0.5,
        "srcc_within_generator": None,
        "pairs_within_prompt": srcc - 0.1,
        "best_of_prompt": srcc - 0.4,
        "baselines": {"generator_mean": baseline, "piqe": None},
    }


def predicted(fold: int) -> pd.DataFrame:
    """The test images of one of two folds; the second fold's scores lie two points too high."""
    random = np.random.default_rng(fold)
    ids, mos = [f"{fold}-{row}" for row in range(60)], random.uniform(0, 5, 60)
    prompts = [f"{fold}, prompt {row // 6}" for row in range(60)]
    table = pd.DataFrame({"image_id": ids, "generator": "g", "prompt": prompts, "mos": mos})
    return table.assign(predicted=mos + random.normal(0, 0.3, 60) + 2 * (fold - 1))


def called(folder: Path, *command: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # the queue's worker starts dvc
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=os.environ | AUTHOR | {"PATH": path})


def commit(folder: Path, message: str) -> None:
    called(folder, "git", "commit", "--quiet", "--allow-empty", "-m", message)


@pytest.fixture(scope="module")
def project(programs, tmp_path_factory):
    """Two heads with two seeds each (one of the four is the commit's) and two folds; then what gives no row.

    That is params that nothing was run with, and a run that fails. Another commit follows.
    """
    folder = tmp_path_factory.mktemp("experiments")

    def write(head: str, protocol: str, seed: int = 0, fold: int = 1) -> None:
        params = YAML(typ="safe").load(ROOT / "params.yaml") | {"dataset": "agiqa-3k", "aspect": "quality"}
        params["datasets"]["agiqa-3k"] = params["datasets"]["folder"]
        params["heads"]["mlp"] = params["heads"]["xlstm"]
        params["head"] = head
        params["split"] |= {"protocol": protocol, "seed": seed, "fold": fold, "folds": 2}
        YAML().dump(params, folder / "params.yaml")
        (folder / "results/evaluation.json").write_text(json.dumps(metrics(params)))
        predicted(fold).to_csv(folder / "results/predictions.csv", index=False)

    def dvc(*command: str) -> None:
        called(folder, str(programs / "dvc"), *command)

    def save(name: str) -> None:
        dvc("exp", "save", "--name", name)

    called(folder, "git", "init", "--quiet")
    dvc("init", "--quiet")
    (folder / ".dvc/config").write_text("[core]\nanalytics = false\ncheck_update = false\n")  # nobody is asked
    (folder / "results").mkdir()
    (folder / "dvc.yaml").write_text("params: [params.yaml]\nstages: {fails: {cmd: exit 3}}\n")
    write("xlstm", "published")
    called(folder, "git", "add", "--all")
    commit(folder, "start")
    for head, seed in (("xlstm", 1), ("mlp", 0), ("mlp", 1)):
        write(head, "published", seed)
        save(f"{head}-{seed}")
    for fold in (1, 2):
        write("mlp", "k-fold", fold=fold)
        save(f"fold-{fold}")
    stale = YAML(typ="safe").load(folder / "params.yaml") | {"head": "xlstm"}
    YAML().dump(stale, folder / "params.yaml")
    save("stale")
    dvc("exp", "run", "--queue", "--name", "fails", "-S", "aspect=correspondence")
    called(folder, sys.executable, "-m", "dvc", "exp", "run", "--run-all")
    commit(folder, "another")
    return folder


@pytest.fixture
def in_project(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setattr(compare, "PUBLISHED", ROOT / "evaluation/published_figures.csv")


def test_experiments_become_a_table_with_the_published_figures_beside_it(in_project, tmp_path, capsys):
    """Those of the commit before too, and of one that failed what it is."""
    compare.run(Namespace(commits=None, out=tmp_path))
    said = capsys.readouterr()
    text = said.out
    assert (tmp_path / "comparison.md").read_text() == text
    assert "| agiqa-3k | quality | published | tiny · mlp | 2 | 0.805 ± 0.007 |" in text
    assert "| agiqa-3k | quality | published | tiny · xlstm | 2 | 0.826 ± 0.008 |" in text
    assert "| 0.705 ± 0.007 | 0.405 ± 0.007 | 0.500 ± 0.000 |" in text  # pairs and top-1 within a prompt
    assert "M3-AGIQA (arXiv 2502.15167; val and test are one set) |  | 0.9045 | 0.9317 |" in text
    assert "| agiqa-3k | quality | ipce-k ≠ | IPCE" in text
    assert "| agiqa-3k | quality | tiny · mlp | tiny · xlstm | 2 | -0.021 ± 0.001 |" in text
    assert "left out, metrics of another head than the params (changed, and not run since): 1 (stale)" in said.err
    assert "left out, failed (dvc queue logs NAME tells why): 1 (fails)" in said.err
    assert "made from other commits, whose code may differ (--num 1 leaves them out): 5 (" in said.err
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 6
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary["srcc"].tolist() == pytest.approx([0.8, 0.805, 0.8255])
    assert len(pd.read_csv(tmp_path / "paired.csv")) == 1
    board = pd.read_csv(tmp_path / "leaderboard.csv")
    assert board["setting"].tolist() == ["tiny · mlp", "tiny · xlstm", "tiny · mlp"]  # of two protocols
    assert board["behind"].iloc[2] == pytest.approx(0.0205)
    for name in ("leaderboard.html", "leaderboard.md"):
        assert "tiny · xlstm" in (tmp_path / name).read_text()


def test_the_folds_of_one_data_set_are_one_row_of_all_its_images(in_project, tmp_path, capsys):
    compare.run(Namespace(commits=None, out=tmp_path))
    (row,) = pd.read_csv(tmp_path / "folds.csv").to_dict("records")
    table = pd.concat([predicted(1), predicted(2)])
    assert (row["n"], row["folds"]) == (120, 2)
    assert row["srcc"] == pytest.approx(table[["mos", "predicted"]].corr("spearman").iloc[0, 1], abs=1e-5)
    assert row["srcc_low"] < row["srcc"] < row["srcc_high"] < 0.95  # each fold alone reaches 0.98
    shown = f"2 folds as one | 2 | {row['srcc']:.3f} ({row['srcc_low']:.3f} to {row['srcc_high']:.3f}) |"
    assert f"| agiqa-3k | quality | k-fold | tiny · mlp, {shown}" in capsys.readouterr().out


def test_the_commits_asked_for_alone_and_what_that_leaves_out(in_project, capsys):
    compare.run(Namespace(commits=1, out=None))
    said = capsys.readouterr()
    assert "tiny · xlstm | 1 |" in said.out
    assert "tiny · mlp" not in said.out
    assert "compare: left out, made from other commits than those of --num: 7 (" in said.err
    compare.run(Namespace(commits=2, out=None))
    said = capsys.readouterr()
    assert "tiny · mlp | 2 |" in said.out
    assert "left out, the same params and seeds as a later one: 1 (" in said.err  # of the two commits


def test_params_that_differ_are_rows_of_their_own_and_seeds_are_not():
    base = YAML(typ="safe").load(ROOT / "params.yaml")
    seeded = base | {"split": base["split"] | {"seed": 1}, "runtime": base["runtime"] | {"batch": 1}}
    slower = base | {"train": base["train"] | {"lr": 0.0001}}
    unused = seeded | {"split": base["split"] | {"seed": 2}, "teachers": base["teachers"] | {"gemini": {}}}
    params = [base, seeded, slower, unused]
    experiments = [Experiment(f"e{number}", str(number), "0", "", one) for number, one in enumerate(params)]
    experiments += [Experiment(state, "0", "0", state, base) for state in ("queued", "running", "failed")]
    runs, left_out = compare.gathered(experiments, lambda commit: metrics(params[int(commit)]))
    assert runs["variant"].tolist() == ["train.lr=0.001", "train.lr=0.001", "train.lr=0.0001", "train.lr=0.001"]
    assert [name for name, _ in left_out] == ["queued", "running", "failed"]


def test_every_published_figure_says_where_it_is_from():
    assert len(PUBLISHED) == 52
    assert PUBLISHED.drop(columns=["plcc", "pairs", "top_1"]).notna().all(axis=None)
    assert PUBLISHED["srcc"].between(0, 1).all()


def test_no_experiment_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(compare.InputError, match="git rev-list failed: fatal: not a git repository"):
        compare.run(Namespace(commits=None, out=None))
