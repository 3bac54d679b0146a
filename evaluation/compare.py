"""compare: every experiment of this repository as one table, with the published figures beside it.

    dvc exp run --queue -S 'split.seed=range(0,5)' -S head=xlstm,mlp && dvc queue start
    python -m m3agiqa compare --out comparison

No stage of the DAG: it reads what DVC keeps of the experiments (`dvc exp show`, results/evaluation.json), and not the
working folder. Runs that differ only in seeds and folds are one row, mean ± standard deviation; the k folds of one data
set are a row of their own besides, each image scored by the fold that tested it.
"""

import argparse
import json
import sys
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from evaluation.comparison import FIGURES, LUCK, SETTING, TASK, paired, summary
from evaluation.comparison_table import markdown
from evaluation.experiments import Experiment, Params, evaluation, listed, predictions
from evaluation.folds import pooled
from evaluation.leaderboard import leaderboard
from evaluation.leaderboard_pages import leaderboard_pages
from m3agiqa.errors import InputError
from m3agiqa.files import write_text

PUBLISHED = Path("evaluation/published_figures.csv")
PROFILES = {"dataset": "datasets", "teacher": "teachers", "mllm": "mllms", "head": "heads"}
SEEDS = {"split.seed", "split.fold", "distill.seed", "train.seed", "evaluate.seed"}
NAMED = 5  # runs that are left out
COLUMNS = ["name", "commit", "params", *TASK, "mllm", "head", *LUCK, "folds", "n", "n_train", "images", *FIGURES]
STATES = {
    "failed": "failed (dvc queue logs NAME tells why)",
    "queued": "waiting in the queue",
    "running": "still running",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    looked_at = (
        "only the last N commits and the experiments made from them (-1: all); otherwise HEAD and all experiments"
    )
    parser.add_argument("-n", "--num", dest="commits", type=int, metavar="N", help=looked_at)
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write comparison.md, leaderboard.html and .md, and CSV files there"
    )


def run(arguments: argparse.Namespace) -> None:
    out = arguments.out
    experiments, elsewhere = listed(arguments.commits)
    newest = experiments[0].commit
    runs, left_out = gathered(experiments, evaluation)
    left_out += [LeftOut(name, "made from other commits than those of --num") for name in elsewhere]
    for reason in dict.fromkeys(why for _, why in left_out):
        _say(f"left out, {reason}", [name for name, why in left_out if why == reason])
    if earlier := [one.name for one in experiments if one.made_from != newest and one.commit in set(runs["commit"])]:
        _say("made from other commits, whose code may differ (--num 1 leaves them out)", earlier)
    if runs.empty:
        raise InputError("no experiment with metrics here; dvc exp run makes one")
    table, tests, (folds, no_folds) = summary(runs), paired(runs), pooled(runs, predictions)
    for reason in no_folds:
        print(f"compare: folds not taken as one, {reason}", file=sys.stderr)
    published = pd.read_csv(PUBLISHED, dtype=str, keep_default_na=False)  # as printed
    text = markdown(table, folds, tests, published)
    print(text, end="")
    if out:
        write_text(out / "comparison.md", text)
        board = leaderboard(runs, predictions)
        for name, text in leaderboard_pages(board, published).items():
            write_text(out / name, text)
        frames = {"runs": runs, "summary": table, "folds": folds, "paired": tests, "leaderboard": board}
        for name, frame in frames.items():
            write_text(out / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


def _say(what: str, names: list[str]) -> None:
    few = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
    print(f"compare: {what}: {len(names)} ({few})", file=sys.stderr)


class LeftOut(NamedTuple):
    """An experiment that cannot be used."""

    name: str
    reason: str


class Gathered(NamedTuple):
    """One row an experiment, and those that cannot be used."""

    runs: pd.DataFrame
    left_out: list[LeftOut]


def gathered(experiments: Iterable[Experiment], evaluation: Callable[[str], dict[str, Any]]) -> Gathered:
    """The experiments as rows; `evaluation` gives the figures in a commit, or nothing."""
    rows, left_out = [], []
    for one in experiments:
        if one.state in STATES:
            left_out.append(LeftOut(one.name, STATES[one.state]))
            continue
        metrics = evaluation(one.commit)
        if not one.params or "seeds" not in metrics:
            left_out.append(LeftOut(one.name, "no metrics (a run that was cut, or is older than they are)"))
        elif stale := [key for key in ("dataset", "aspect", "mllm", "head") if metrics.get(key) != one.params.get(key)]:
            reason = f"metrics of another {stale[0]} than the params (changed, and not run since)"
            left_out.append(LeftOut(one.name, reason))
        else:
            rows.append(_row(one, metrics))
    runs = pd.DataFrame(rows, columns=COLUMNS)
    runs["variant"] = _variants(runs)
    again = runs.duplicated([*TASK, *SETTING, *LUCK])
    left_out += [LeftOut(name, "the same params and seeds as a later one") for name in runs.loc[again, "name"]]
    return Gathered(runs[~again].drop(columns="params").reset_index(drop=True), left_out)


def _row(one: Experiment, metrics: dict[str, Any]) -> dict[str, Any]:
    seeds, params = metrics["seeds"], one.params
    rivals = [rival["srcc"] for rival in metrics["baselines"].values() if rival and rival.get("srcc") is not None]
    split = params["split"]
    return {
        "name": one.name,
        "commit": one.commit,
        "params": _flat(params),
        **{key: metrics.get(key) for key in ("dataset", "aspect", "mllm", "head", "n", "n_train", *FIGURES)},
        "on": metrics.get("on", metrics["dataset"]),
        "protocol": metrics.get("protocol", "prompt-disjoint"),  # the only one before there were others
        "split_seed": seeds["split"],
        "fold": split.get("fold", 1) if split.get("protocol") in ("k-fold", "ipce-k") else 1,
        "folds": split.get("folds", 1) if split.get("protocol") == "k-fold" else 1,
        "images": sum(metrics.get(part, 0) for part in ("n", "n_train", "n_val")),
        "distill_seed": seeds["distill"],
        "train_seed": seeds["train"],
        "best_baseline": max(rivals, default=None),
    }


def _flat(params: Params, prefix: str = "") -> Params:
    """Nested params as one level ("train.lr"), without seeds, `runtime` and profiles that were not chosen."""
    chosen = {profiles: params[name] for name, profiles in PROFILES.items()} if not prefix else {}
    flat: Params = {}
    for key, value in params.items():
        if key in chosen:
            value = {chosen[key]: value[chosen[key]]}  # noqa: PLW2901
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif prefix + key not in SEEDS and not (prefix + key).startswith("runtime."):
            flat[prefix + key] = value
    return flat


def _variants(runs: pd.DataFrame) -> pd.Series:
    """What else sets a run apart from others of its task, MLLM and head: the params that differ, or nothing."""
    variants: dict[Hashable, str] = {}
    for _, group in runs.groupby([*TASK, "mllm", "head"], dropna=False):
        keys = sorted(set().union(*group["params"]))
        differing = [key for key in keys if len({json.dumps(params.get(key)) for params in group["params"]}) > 1]
        for row, params in group["params"].items():
            variants[row] = ", ".join(f"{key}={json.dumps(params.get(key))}" for key in differing)
    return pd.Series([variants[row] for row in runs.index], runs.index, dtype=object)
