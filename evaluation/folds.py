"""The folds of one data set as one: every image scored by the fold that tested it, and the figures of them all.

A fold of a small data set tests few images, and the mean of the folds' correlations says little: each is that of a
handful. Where the folds together test every image once, their predictions are one table, with figures of its own and
intervals that resample its prompts.
"""

from collections.abc import Callable, Hashable
from typing import NamedTuple

import pandas as pd

from evaluation.comparison import SETTING, TASK
from evaluation.figures import Agreement

FIGURES = ["srcc", "plcc", "krcc", "rmse", "srcc_within_generator"]  # each with its interval, `_low` and `_high`
SEEDS = ["split_seed", "distill_seed", "train_seed"]
RESAMPLES = 1000


class Pooled(NamedTuple):
    """One row a whole set of folds, and why other sets are none."""

    table: pd.DataFrame  # TASK, SETTING, SEEDS, folds, n, and FIGURES with their intervals
    left_out: list[str]


def pooled(runs: pd.DataFrame, predictions: Callable[[str], pd.DataFrame | None]) -> Pooled:
    """Every set of k folds of `runs` that agrees in task, setting and seeds, as one.

    `runs` has, beside TASK, SETTING and SEEDS, the columns `fold`, `folds` (how many there are), `images` (of the whole
    data set) and `commit`, whose test images `predictions` gives: image_id, prompt, generator, mos and predicted.
    """
    found, left_out = [], []
    columns = [*TASK, *SETTING, *SEEDS, "folds"]
    for key, group in runs[runs["protocol"] == "k-fold"].groupby(columns, sort=True, dropna=False):
        names = dict(zip(columns, key, strict=True))
        tables = [predictions(commit) for commit in group.sort_values("fold")["commit"]]
        scored = pd.concat([table for table in tables if table is not None] or [pd.DataFrame(columns=["image_id"])])
        if why := _incomplete(group, len([table for table in tables if table is None]), scored, names):
            left_out.append(f"{', '.join(str(names[name]) for name in SETTING if names[name])}: {why}")
        else:
            found.append({**names, "n": len(scored), **_figures(scored.reset_index(drop=True))})
    edges = [f"{figure}{edge}" for figure in FIGURES for edge in ("", "_low", "_high")]
    return Pooled(pd.DataFrame(found, columns=[*columns, "n", *edges]), left_out)


def _incomplete(group: pd.DataFrame, unread: int, scored: pd.DataFrame, names: dict[str, Hashable]) -> str | None:
    """Why these folds are not one data set, each image tested once; None where they are."""
    folds = int(group["folds"].iloc[0])
    if missing := sorted(set(range(1, folds + 1)) - set(group["fold"])):
        return f"fold {', '.join(map(str, missing))} of {folds} is missing"
    if unread:
        return f"{unread} of {folds} folds have no predictions"
    if (twice := scored["image_id"].duplicated()).any():
        return f"image {scored.loc[twice, 'image_id'].iloc[0]!r} is tested twice: the folds are not of one data set"
    if names["dataset"] == names["on"] and set(group["images"]) != {len(scored)}:
        return f"they test {len(scored)} images, where the data set has {sorted(set(group['images']))}"
    return None


def _figures(scored: pd.DataFrame) -> dict[str, float | None]:
    figures = Agreement(scored, RESAMPLES, seed=0).model(scored["predicted"])
    found: dict[str, float | None] = {}
    for name in FIGURES:
        low, high = figures[f"{name}_ci"] or (None, None)
        found |= {name: figures[name], f"{name}_low": low, f"{name}_high": high}
    return found
