"""compare: every experiment of this repository as one table, with the published figures beside it.

    dvc exp run --queue -S 'split.seed=range(0,5)' -S head=xlstm,mlp && dvc queue start
    python -m m3agiqa compare --out comparison

No stage of the DAG: it reads what DVC keeps of the experiments (`dvc exp show`, results/evaluation.json), and not the
working folder. Runs that differ only in seeds and folds are one row, mean ± standard deviation. A published figure says
where it is from and how its test images were chosen; ≠ marks those that no run here shares the protocol with.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from evaluation.comparison import FIGURES, LUCK, SETTING, TASK, paired, summary
from m3agiqa.errors import InputError
from m3agiqa.files import write_text
from pipeline.paths import EVALUATION
from pipeline.settings import PARAMS

PUBLISHED = Path("evaluation/published_figures.csv")
PROFILES = {"dataset": "datasets", "teacher": "teachers", "mllm": "mllms", "head": "heads"}
SEEDS = {"split.seed", "split.fold", "distill.seed", "train.seed", "evaluate.seed"}
NAMED = 5  # runs that are left out
SHOWN = {"srcc": "SRCC", "plcc": "PLCC", "srcc_within_generator": "SRCC within", "rmse": "RMSE"}

Params = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--num", dest="commits", type=int, default=1, help="commits to look at; -1: all")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write comparison.md and CSV files there too")


def run(arguments: argparse.Namespace) -> None:
    out = arguments.out
    runs, left_out = gathered(_experiments(arguments.commits), _evaluation)
    for reason in dict.fromkeys(left_out.values()):
        names = [name for name, why in left_out.items() if why == reason]
        few = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
        print(f"compare: left out, {reason}: {len(names)} ({few})", file=sys.stderr)
    if runs.empty:
        raise InputError("no experiment with metrics here; dvc exp run makes one")
    table, tests, published = (
        summary(runs),
        paired(runs),
        pd.read_csv(PUBLISHED, dtype=str, keep_default_na=False),
    )  # as printed
    text = markdown(table, tests, published)
    print(text, end="")
    if out:
        write_text(out / "comparison.md", text)
        for name, frame in (("runs", runs), ("summary", table), ("paired", tests)):
            write_text(out / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


class Gathered(NamedTuple):
    """One row an experiment, and the names of those that cannot be used, with the reason."""

    runs: pd.DataFrame
    left_out: dict[str, str]


def gathered(experiments: list[dict[str, Any]], evaluation: Callable[[str], dict[str, Any]]) -> Gathered:
    """What `dvc exp show` lists; `evaluation` gives the figures in a commit, or nothing."""
    rows, left_out = [], {}
    for name, commit, data in _revisions(experiments):
        metrics = evaluation(commit)
        params = ((data.get("params") or {}).get(str(PARAMS)) or {}).get("data") or {}
        if not params or "seeds" not in metrics:
            left_out[name] = "no metrics (queued, running, failed, or older than they are)"
        elif stale := [key for key in ("dataset", "aspect", "mllm", "head") if metrics.get(key) != params.get(key)]:
            left_out[name] = f"metrics of another {stale[0]} than the params"
        else:
            rows.append(_row(name, metrics, params))
    runs = pd.DataFrame(rows, columns=["name", "params", *TASK, "mllm", "head", *LUCK, "n", "n_train", *FIGURES])
    runs["variant"] = _variants(runs)
    again = runs.duplicated([*TASK, *SETTING, *LUCK])
    left_out |= dict.fromkeys(runs.loc[again, "name"], "the same params and seeds as a later one")
    return Gathered(runs[~again].drop(columns="params").reset_index(drop=True), left_out)


def markdown(table: pd.DataFrame, tests: pd.DataFrame, published: pd.DataFrame) -> str:
    """Both tables, ours and what was published on the same data set and aspect."""
    lines = [
        "| data set | aspect | protocol | setting | runs | " + " | ".join(SHOWN.values()) + " | best baseline, SRCC |",
        "|---" * 4 + "|--:" * (len(SHOWN) + 2) + "|",
    ]
    for (dataset, on, aspect), ours in table.groupby(["dataset", "on", "aspect"], sort=True):
        for row in ours.to_dict("records"):
            setting = " · ".join(filter(None, (row["mllm"], row["head"], row["variant"])))
            figures = [_spread(row, name) for name in (*SHOWN, "best_baseline")]
            lines.append(_cells(_sets(dataset, on), aspect, row["protocol"], setting, row["runs"], *figures))
        theirs = published[(published["dataset"] == on) & (published["aspect"] == aspect)]
        for row in theirs.to_dict("records"):
            mark = "" if row["protocol"] in set(ours["protocol"]) and dataset == on else " ≠"
            said = f"{row['method']} ({row['source']})"
            lines.append(_cells(on, aspect, row["protocol"] + mark, said, "", row["srcc"], row["plcc"], "", "", ""))
    lines += ["", "Mean ± standard deviation over seeds and folds. ≠: another protocol than any run here.", ""]
    if len(tests):
        lines += ["| data set | aspect | SRCC of | less that of | runs | difference | p | over |", "|---" * 8 + "|"]
    for row in tests.to_dict("records"):
        difference = f"{row['difference']:+.3f} ± {row['sd']:.3f}"
        p = "–" if pd.isna(row["p"]) else f"{row['p']:.3f}"
        sets = _sets(row["dataset"], row["on"])
        lines.append(_cells(sets, row["aspect"], row["one"], row["other"], row["runs"], difference, p, row["over"]))
    if len(tests):
        lines += ["", "Paired t-tests, corrected for splits that overlap; none for how many were made.", ""]
    return "\n".join(lines)


def _experiments(commits: int) -> list[dict[str, Any]]:
    """What `dvc exp show` knows of the last commits and the experiments derived from them."""
    command = [sys.executable, "-m", "dvc", "exp", "show", "--json", "--num", str(commits)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    if shown.returncode:
        raise InputError(f"dvc exp show failed: {' '.join(shown.stderr.split())}")
    experiments: list[dict[str, Any]] = json.loads(shown.stdout)
    return experiments


class _Revision(NamedTuple):
    name: str
    commit: str
    data: dict[str, Any]


def _revisions(experiments: list[dict[str, Any]]) -> Iterator[_Revision]:
    """Every commit and experiment; the working folder is neither."""

    def revision(shown: dict[str, Any]) -> _Revision:
        return _Revision(shown["name"] or shown["rev"][:7], shown["rev"], shown.get("data") or {})

    for commit in experiments:
        if commit["rev"] != "workspace":
            yield revision(commit)
        for experiment in commit.get("experiments") or []:
            yield from map(revision, experiment["revs"] or [])


def _evaluation(commit: str) -> dict[str, Any]:
    """results/evaluation.json as a commit has it, from DVC's cache; nothing where there is none."""
    from dvc import api, exceptions  # noqa: PLC0415 (seconds)

    try:
        found: dict[str, Any] = json.loads(api.read(EVALUATION.as_posix(), rev=commit))
    except (FileNotFoundError, exceptions.DvcException):
        return {}
    return found


def _row(name: str, metrics: dict[str, Any], params: Params) -> dict[str, Any]:
    seeds = metrics["seeds"]
    rivals = [rival["srcc"] for rival in metrics["baselines"].values() if rival and rival.get("srcc") is not None]
    split = params["split"]
    return {
        "name": name,
        "params": _flat(params),
        **{key: metrics.get(key) for key in ("dataset", "aspect", "mllm", "head", "n", "n_train", *FIGURES)},
        "on": metrics.get("on", metrics["dataset"]),
        "protocol": metrics.get("protocol", "prompt-disjoint"),  # the only one before there were others
        "split_seed": seeds["split"],
        "fold": split.get("fold", 1) if split.get("protocol") in ("k-fold", "ipce-k") else 1,
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


def _sets(dataset: Hashable, on: Hashable) -> str:
    return str(dataset) if dataset == on else f"{dataset} → {on} (cross)"


def _spread(row: Mapping[Hashable, Any], name: str) -> str:
    if pd.isna(row[name]):
        return "–"
    return f"{row[name]:.3f}" + ("" if pd.isna(row[f"{name}_sd"]) else f" ± {row[f'{name}_sd']:.3f}")


def _cells(*values: object) -> str:
    return "| " + " | ".join(str(value).replace("|", "\\|") for value in values) + " |"
