"""The leaderboard: the settings of each task from the best to the last, each held against the first.

`compare`'s other tests ask whether settings differ over new splits and seeds. Here the question is whether they differ
on more images like these: prompts are resampled, the same for all settings. The runs of a setting that were tested on
the same images are their mean, and so are these means over several sets of test images, such as folds. The first is
held against on the sets that both were tested on. p is corrected for all settings of the task (Holm).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from data.splitting.prompts import prompt_groups
from evaluation import bootstrap
from evaluation.comparison import SETTING, TASK, holm, name_of
from evaluation.metrics import Floats
from m3agiqa.files import fingerprint

RESAMPLES = 1000
MEANS = ["srcc", "plcc", "rmse", "pairs_within_prompt", "best_of_prompt"]
COLUMNS = [*TASK, "rank", "setting", "runs", "n", *MEANS, "low", "high"]
COLUMNS += ["behind", "behind_low", "behind_high", "p", "p_holm"]


class _Run(NamedTuple):
    """A run's SRCC in each resample of its test images' prompts."""

    images: str  # names the test images: runs with the same ones can be held against each other
    draws: Floats  # (RESAMPLES,), or none where there is nothing to draw
    prompts: float  # as how many the images' prompts count


def leaderboard(runs: pd.DataFrame, predictions: Callable[[str], pd.DataFrame | None]) -> pd.DataFrame:
    """A row a task and setting, with the columns COLUMNS; `low` and `high` are of the SRCC.

    `behind` is the SRCC of the first less that of the setting, with its 95 % interval and p. `runs` has TASK, SETTING,
    MEANS, `n` and `commit`, whose test images `predictions` gives: image_id, prompt, mos and predicted.
    """
    boards = [pd.DataFrame(columns=COLUMNS)]
    for task, same_task in runs.groupby(TASK, sort=True, dropna=False):
        commits = same_task["commit"].tolist()
        drawn = {commit: _drawn(commit, predictions(commit)) for commit in commits}
        tested = same_task.assign(images=[drawn[commit].images for commit in commits])
        groups = [group for _, group in tested.groupby(SETTING, sort=False, dropna=False)]
        groups.sort(key=lambda group: -np.nan_to_num(_means(group)["srcc"], nan=-2.0))
        rows = [_row(rank, group, groups[0], drawn) for rank, group in enumerate(groups, start=1)]
        board = pd.DataFrame([dict(zip(TASK, task, strict=True)) | row for row in rows])
        boards.append(board.assign(p_holm=holm(board["p"]))[COLUMNS])
    return pd.concat([board for board in boards if len(board)] or boards, ignore_index=True)


def _row(rank: int, group: pd.DataFrame, first: pd.DataFrame, drawn: Mapping[str, _Run]) -> dict[str, Any]:
    own, means, draws = group.iloc[0], _means(group), _draws(group, drawn)
    row = {"rank": rank, "setting": name_of(own[SETTING]), "runs": len(group), "n": own["n"], **means}
    row["low"], row["high"] = bootstrap.interval_of(draws, means["srcc"], _prompts(group, drawn))
    row |= {"behind": np.nan, "behind_low": np.nan, "behind_high": np.nan, "p": np.nan}
    mine, best = (each[each["images"].isin(other["images"])] for each, other in ((group, first), (first, group)))
    if rank > 1 and len(mine):
        found = bootstrap.difference_of(_draws(best, drawn) - _draws(mine, drawn), _prompts(mine, drawn))
        row |= {"behind_low": found.low, "behind_high": found.high, "p": found.p}
        row["behind"] = _means(best)["srcc"] - _means(mine)["srcc"]
    return row


def _means(group: pd.DataFrame) -> dict[str, float]:
    """Each of MEANS, over the sets of test images, over the runs of each."""
    return dict(group.groupby("images")[MEANS].mean().mean())


def _draws(group: pd.DataFrame, drawn: Mapping[str, _Run]) -> Floats:
    """(RESAMPLES,), the SRCC's mean likewise; none where a run has none."""
    of_sets = [
        np.mean([drawn[commit].draws for commit in commits], axis=0) for _, commits in group.groupby("images")["commit"]
    ]
    return np.zeros(0) if any(not len(draws) for draws in of_sets) else np.asarray(np.mean(of_sets, axis=0))


def _prompts(group: pd.DataFrame, drawn: Mapping[str, _Run]) -> float:
    return float(np.mean([drawn[commit].prompts for commit in group["commit"]]))


def _drawn(commit: str, predictions: pd.DataFrame | None) -> _Run:
    if predictions is None:
        return _Run(commit, np.zeros(0), 2.0)  # nobody else's images
    table = predictions.sort_values("image_id", kind="stable")  # the same order for every setting
    images = fingerprint(table[["image_id", "mos"]].to_numpy().tolist())
    clusters = pd.factorize(prompt_groups(table))[0]
    scores, mos = table["predicted"].to_numpy(float), table["mos"].to_numpy(float)
    seed = int(images[:15], 16)  # other images are other draws
    draws = [bootstrap.srcc(counts, scores, mos) for counts in bootstrap.resampled(clusters, RESAMPLES, seed)]
    return _Run(images, np.concatenate([np.zeros(0), *draws]), bootstrap.effective_number(clusters))
