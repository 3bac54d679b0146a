"""Many runs as a few rows: mean and spread over seeds and folds, and tests of whether two settings differ.

Two settings are compared on the runs that share every seed and fold, so that the same test images, and the same
luck of the split, stand on both sides. Two things make such differences say less than their number:

- Runs of one split share its test images, whatever else their seeds are: they are averaged first, and the test is over
  the splits. Where all share one split, it is over the seeds of distill, the seeds of train averaged within each; where
  those are one too, over the seeds of train. Then it speaks of those test images alone, and says so.
- The training images of two splits overlap. The variance of the paired t-test is corrected for that by Nadeau and
  Bengio (Machine Learning 52, 2003): 1/k becomes 1/k + n_test / n_train.
"""

from collections.abc import Hashable, Iterable
from itertools import combinations
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy import stats

TASK = ["dataset", "on", "aspect", "protocol"]  # only runs of one task are compared
SETTING = ["mllm", "head", "variant"]
SPLIT = ["split_seed", "fold"]
LEVELS = {"splits": SPLIT, "seeds of distill, one split": ["distill_seed"], "seeds of train, one split": ["train_seed"]}
LUCK = [name for level in LEVELS.values() for name in level]
FIGURES = [
    "srcc",
    "plcc",
    "krcc",
    "rmse",
    "srcc_within_generator",
    "pairs_within_prompt",
    "best_of_prompt",
    "best_baseline",
]


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """One row a task and setting: `runs`, how many, and each figure's mean and standard deviation (NaN for one run).

    `runs` has the columns TASK, SETTING, LUCK and FIGURES.
    """
    groups = runs.groupby([*TASK, *SETTING], sort=True, dropna=False)
    table = groups[FIGURES].agg(["mean", "std"])
    columns = cast("list[tuple[str, str]]", list(table.columns))  # of two levels, which the stubs do not know
    table.columns = pd.Index([figure if kind == "mean" else f"{figure}_sd" for figure, kind in columns])
    table.insert(0, "runs", groups.size())
    return table.reset_index()


def paired(runs: pd.DataFrame, figure: str = "srcc") -> pd.DataFrame:
    """Every two settings of a task that share at least two runs: mean difference, its standard deviation, t and p.

    Mean, deviation and test are over what the column `over` counts; `runs` says how many pairs of runs there were.
    `p_holm` is p corrected for all tests of the task (Holm, Scand. J. Statist. 6, 1979).
    """
    found = []
    for task, same_task in runs.groupby(TASK, sort=True, dropna=False):
        settings = list(same_task.groupby(SETTING, sort=True, dropna=False))
        for (one, left), (other, right) in combinations(settings, 2):
            pairs = left.merge(right, on=LUCK, suffixes=("", "_other")).dropna(subset=[figure, f"{figure}_other"])
            if len(pairs) > 1:
                names = dict(zip(TASK, task, strict=True))
                found.append({**names, "one": name_of(one), "other": name_of(other), **_test(pairs, figure)})
    columns = [*TASK, "one", "other", "runs", "difference", "sd", "t", "p", "over"]
    tests = pd.DataFrame(found, columns=columns)
    tests.insert(len(columns) - 1, "p_holm", tests.groupby(TASK, dropna=False)["p"].transform(holm))
    return tests


def holm(p: pd.Series) -> pd.Series:
    """The smallest level at which each of several tests would be rejected with all of them allowed for; NaN stays."""
    order = p.dropna().sort_values()
    corrected = (order * np.arange(len(order), 0, -1)).cummax().clip(upper=1.0)
    return corrected.reindex(p.index)


def _test(pairs: pd.DataFrame, figure: str) -> dict[str, Any]:
    """The corrected paired t-test of `figure` less `figure`_other, over the outermost level of luck that differs."""
    pairs = pairs.assign(difference=pairs[figure] - pairs[f"{figure}_other"])
    level, columns = next(item for item in LEVELS.items() if len(pairs[item[1]].drop_duplicates()) > 1)
    differences = pairs.groupby(columns)["difference"].mean().to_numpy()
    overlap = float((pairs["n"] / pairs["n_train"]).mean()) if columns == SPLIT else 0.0
    mean, sd = float(differences.mean()), float(differences.std(ddof=1))
    t = p = np.nan
    if sd > 1e-12:
        t = mean / (sd * np.sqrt(1 / len(differences) + overlap))
        p = 2 * float(stats.t.sf(abs(t), len(differences) - 1))
    over = f"{len(differences)} {level}"
    return {"runs": len(pairs), "difference": mean, "sd": sd, "t": float(t), "p": p, "over": over}


def name_of(setting: Iterable[Hashable]) -> str:
    """What a setting is called: its SETTING, as far as there is any."""
    return " · ".join(str(part) for part in setting if part)
