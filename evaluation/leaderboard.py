"""The leaderboard: the settings of each task from the best to the last, each held against the first.

`compare`'s other tests ask whether settings differ over new splits and seeds. Here the question is whether they differ
on more images like these: prompts are resampled, the same for all settings, and a setting with several runs is the mean
of their figures. The first is held against on the test images that both scored. p is corrected for all settings of the
task (Holm).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from data.splitting.prompts import prompt_groups
from evaluation import bootstrap
from evaluation.comparison import SETTING, SPLIT, TASK, holm, name_of
from evaluation.metrics import Floats

RESAMPLES = 1000
MEANS = ["srcc", "plcc", "rmse", "pairs_within_prompt", "best_of_prompt"]
COLUMNS = [*TASK, "rank", "setting", "runs", "n", *MEANS, "low", "high"]
COLUMNS += ["behind", "behind_low", "behind_high", "p", "p_holm"]


class _Run(NamedTuple):
    """A run's SRCC in each resample of its test images' prompts, and as how many prompts those count."""

    draws: Floats  # (RESAMPLES,)
    prompts: float


def leaderboard(runs: pd.DataFrame, predictions: Callable[[str], pd.DataFrame | None]) -> pd.DataFrame:
    """A row a task and setting, with the columns COLUMNS; `low` and `high` are of the SRCC.

    `behind` is the SRCC of the first less that of the setting, with its 95 % interval and p. `runs` has TASK, SETTING,
    SPLIT, MEANS, `n` and `commit`, whose test images `predictions` gives: image_id, prompt, mos and predicted.
    """
    boards = [pd.DataFrame(columns=COLUMNS)]
    for task, same_task in runs.groupby(TASK, sort=True, dropna=False):
        groups = [group for _, group in same_task.groupby(SETTING, sort=False, dropna=False)]
        groups.sort(key=lambda group: -np.nan_to_num(group["srcc"].mean(), nan=-2.0))
        drawn = {commit: _drawn(predictions(commit)) for commit in same_task["commit"]}
        rows = [_row(rank, group, groups[0], drawn) for rank, group in enumerate(groups, start=1)]
        board = pd.DataFrame([dict(zip(TASK, task, strict=True)) | row for row in rows])
        boards.append(board.assign(p_holm=holm(board["p"]))[COLUMNS])
    return pd.concat([board for board in boards if len(board)] or boards, ignore_index=True)


def _row(rank: int, group: pd.DataFrame, first: pd.DataFrame, drawn: Mapping[str, _Run | None]) -> dict[str, Any]:
    own = group.iloc[0]
    row = {"rank": rank, "setting": name_of(own[SETTING]), "runs": len(group), "n": own["n"]} | dict(
        group[MEANS].mean()
    )
    mean = _mean(drawn[commit] for commit in group["commit"])
    low, high = bootstrap.interval_of(mean.draws, row["srcc"], mean.prompts) if mean else (np.nan, np.nan)
    row |= {"low": low, "high": high}
    behind = {"behind": np.nan, "behind_low": np.nan, "behind_high": np.nan, "p": np.nan}
    both = group[SPLIT].merge(first[SPLIT]).drop_duplicates()
    if rank > 1 and len(both):
        ours, theirs = (each.merge(both) for each in (group, first))
        mine, best = (_mean(drawn[commit] for commit in each["commit"]) for each in (ours, theirs))
        behind["behind"] = theirs["srcc"].mean() - ours["srcc"].mean()
        if mine and best:
            found = bootstrap.difference_of(best.draws - mine.draws, best.prompts)
            behind |= {"behind_low": found.low, "behind_high": found.high, "p": found.p}
    return row | behind


def _mean(runs: Iterable[_Run | None]) -> _Run | None:
    """As one run; None where there is one without draws."""
    found = list(runs)
    known = [run for run in found if run is not None]
    if len(known) < len(found):
        return None
    draws: Floats = np.mean([run.draws for run in known], axis=0)
    return _Run(draws, float(np.mean([run.prompts for run in known])))


def _drawn(predictions: pd.DataFrame | None) -> _Run | None:
    if predictions is None:
        return None
    table = predictions.sort_values("image_id", kind="stable")  # the same images in the same order for every setting
    clusters = pd.factorize(prompt_groups(table))[0]
    scores, mos = table["predicted"].to_numpy(float), table["mos"].to_numpy(float)
    draws = [bootstrap.srcc(counts, scores, mos) for counts in bootstrap.resampled(clusters, RESAMPLES, 0)]
    return _Run(np.concatenate(draws), bootstrap.effective_number(clusters)) if draws else None
