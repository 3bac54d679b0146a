"""The comparison as people read it: Markdown.

A published figure says where it is from and how its test images were chosen; ≠ marks those that no run here shares the
protocol with.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd

from evaluation.comparison import SETTING, TASK
from evaluation.folds import SEEDS

SHOWN = {"srcc": "SRCC", "plcc": "PLCC", "srcc_within_generator": "SRCC within", "rmse": "RMSE"}
CHOOSING = {"pairs_within_prompt": "pairs", "best_of_prompt": "top-1"}  # within a prompt; of no folds taken as one


def markdown(table: pd.DataFrame, folds: pd.DataFrame, tests: pd.DataFrame, published: pd.DataFrame) -> str:
    """The tables of evaluation/comparison.py and evaluation/folds.py, and what was published on the same data sets."""
    lines = [
        "| data set | aspect | protocol | setting | runs | "
        + " | ".join([*SHOWN.values(), *CHOOSING.values()])
        + " | best baseline, SRCC |",
        "|---" * 4 + "|--:" * (len(SHOWN) + len(CHOOSING) + 2) + "|",
    ]
    for (dataset, on, aspect), ours in table.groupby(["dataset", "on", "aspect"], sort=True):
        for row in ours.to_dict("records"):
            setting = " · ".join(filter(None, (row["mllm"], row["head"], row["variant"])))
            figures = [_spread(row, name) for name in (*SHOWN, *CHOOSING, "best_baseline")]
            task = _sets(dataset, on), aspect, row["protocol"]
            lines.append(_cells(*task, setting, row["runs"], *figures))
            same = (folds[[*TASK, *SETTING]] == [row[name] for name in (*TASK, *SETTING)]).all(axis=1)
            lines += [_cells(*task, f"{setting}, {cells[0]}", *cells[1:]) for cells in _as_one(folds[same])]
        theirs = published[(published["dataset"] == on) & (published["aspect"] == aspect)]
        for row in theirs.to_dict("records"):
            mark = "" if row["protocol"] in set(ours["protocol"]) and dataset == on else " ≠"
            said = f"{row['method']} ({row['source']})"
            figures = [row["srcc"], row["plcc"], "", "", row["pairs"], row["top_1"], ""]
            lines.append(_cells(on, aspect, row["protocol"] + mark, said, "", *figures))
    lines += [
        "",
        (
            "Mean ± standard deviation over seeds and folds. ≠: another protocol than any run here. Within a prompt, "
            "pairs: share that is ordered as people do; top-1: how often the best is picked."
        ),
        "",
    ]
    if len(folds):
        lines += ["Folds as one: each image by the fold that tested it (95 % interval, resampled by prompt).", ""]
    if len(tests):
        lines += [
            "| data set | aspect | SRCC of | less that of | runs | difference | p | Holm | over |",
            "|---" * 9 + "|",
        ]
    for row in tests.to_dict("records"):
        difference = f"{row['difference']:+.3f} ± {row['sd']:.3f}"
        p, holm = ("–" if pd.isna(row[name]) else f"{row[name]:.3f}" for name in ("p", "p_holm"))
        sets = _sets(row["dataset"], row["on"])
        lines.append(
            _cells(sets, row["aspect"], row["one"], row["other"], row["runs"], difference, p, holm, row["over"])
        )
    if len(tests):
        lines += ["", "Paired t-tests, corrected for splits that overlap; Holm: for how many were made of a task.", ""]
    return "\n".join(lines)


def _as_one(folds: pd.DataFrame) -> Iterator[tuple[object, ...]]:
    """One setting's sets of folds: what each is called, its number of runs, its figures and their intervals."""
    several = [name for name in SEEDS if len(set(folds[name])) > 1]
    for row in folds.to_dict("records"):
        seeds = "".join(f", {name} {row[name]}" for name in several)
        yield f"{row['folds']} folds as one{seeds}", row["folds"], *(_interval(row, name) for name in SHOWN), *"–––"


def _sets(dataset: Hashable, on: Hashable) -> str:
    return str(dataset) if dataset == on else f"{dataset} → {on} (cross)"


def _spread(row: Mapping[Hashable, Any], name: str) -> str:
    if pd.isna(row[name]):
        return "–"
    return f"{row[name]:.3f}" + ("" if pd.isna(row[f"{name}_sd"]) else f" ± {row[f'{name}_sd']:.3f}")


def _interval(row: Mapping[Hashable, Any], name: str) -> str:
    if pd.isna(row[name]):
        return "–"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.3f}" + ("" if pd.isna(low) else f" ({low:.3f} to {high:.3f})")


def _cells(*values: object) -> str:
    return "| " + " | ".join(str(value).replace("|", "\\|") for value in values) + " |"
