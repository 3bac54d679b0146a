"""Every figure of the test images, for the model and for each baseline.

results/evaluation.json holds them all, results/metrics.json the few that people compare.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.splitting.prompts import prompt_groups, prompts_of
from evaluation import bootstrap, choices, metrics
from evaluation.bootstrap import Figure

Scores = pd.Series | NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Figures on a table of test images with mos, prompt and generator; their intervals resample the prompts."""

    table: pd.DataFrame
    resamples: int
    seed: int

    @property
    def mos(self) -> pd.Series:
        return self.table["mos"]

    @cached_property
    def prompts(self) -> pd.Series:
        """What each image was generated from, normalised."""
        return prompts_of(self.table)

    @cached_property
    def sampling(self) -> dict[str, Any]:
        """How intervals are drawn: images of one normalised prompt together, and those that are one picture."""
        return {"clusters": pd.factorize(prompt_groups(self.table))[0], "resamples": self.resamples, "seed": self.seed}

    def interval(self, figure: Figure, scores: Scores) -> list[float] | None:
        return bootstrap.interval(figure, scores, self.mos, **self.sampling)

    def model(self, scores: Scores) -> dict[str, Any]:
        """Every figure with its interval."""
        generators = list(self.table["generator"])
        return {
            "srcc": metrics.srcc(scores, self.mos),
            "srcc_ci": self.interval(bootstrap.srcc, scores),
            "plcc": metrics.plcc(scores, self.mos),
            "plcc_ci": self.interval(bootstrap.plcc, scores),
            "plcc_fitted": metrics.plcc_fitted(scores, self.mos).plcc,
            "krcc": metrics.krcc(scores, self.mos),
            "krcc_ci": self.interval(bootstrap.krcc, scores),
            "rmse": metrics.rmse(scores, self.mos),
            "rmse_ci": self.interval(bootstrap.rmse, scores),
            "pairs_within_prompt": choices.pairs_within(scores, self.mos, self.prompts),
            "best_of_prompt": self._best_of_prompt(scores),
            "srcc_within_generator": metrics.srcc_within(scores, self.mos, generators),
            "srcc_within_generator_ci": self.interval(bootstrap.within(generators), scores),
        }

    def baseline(self, scores: Scores) -> dict[str, Any]:
        """The same without most of the intervals."""
        return {
            "srcc": metrics.srcc(scores, self.mos),
            "srcc_ci": self.interval(bootstrap.srcc, scores),
            "plcc": metrics.plcc(scores, self.mos),
            "krcc": metrics.krcc(scores, self.mos),
            "rmse": metrics.rmse(scores, self.mos),
            "pairs_within_prompt": choices.pairs_within(scores, self.mos, self.prompts),
            "best_of_prompt": self._best_of_prompt(scores),
            "srcc_within_generator": metrics.srcc_within(scores, self.mos, list(self.table["generator"])),
        }

    def choosing(self) -> dict[str, Any]:
        """Of how many prompts a best image is to be chosen, and the share that is right when chosen blindly."""
        found = choices.best_within(self.mos, self.mos, self.prompts)
        return {"prompts": found.groups, "chance": found.chance} if found else {"prompts": 0, "chance": None}

    def _best_of_prompt(self, scores: Scores) -> float | None:
        found = choices.best_within(scores, self.mos, self.prompts)
        return None if found is None else found.share

    def gain(self, scores: Scores, rival: str, rival_scores: Scores) -> dict[str, Any] | None:
        """SRCC of the model less that of the baseline `rival`; None where one has none."""
        gain = bootstrap.srcc_gain(scores, rival_scores, self.mos, **self.sampling)
        return {"over": rival, "srcc": gain.srcc, "srcc_ci": gain.interval} if gain else None


HEADLINE = ("aspect", "dataset", "mllm", "head", "n", "srcc", "plcc", "krcc", "rmse")
DECIMALS = 4  # a terminal's columns


def headline(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The few that people compare, flat, for `dvc metrics show` and `dvc exp show`.

    `baseline` is the SRCC of the best simpler predictor, chosen on val, and `gain` what the model has over it; `pairs`
    is the share of pairs within a prompt in the right order. None where a figure cannot be computed.
    """
    gain, interval = figures["gain"], figures["srcc_ci"] or (None, None)
    flat: dict[str, Any] = {name: figures[name] for name in HEADLINE} | {
        "srcc_low": interval[0],
        "srcc_high": interval[1],
        "pairs": figures["pairs_within_prompt"],
        "baseline": gain and figures["baselines"][gain["over"]]["srcc"],
        "gain": gain and gain["srcc"],
    }
    return {name: rounded(value, DECIMALS) for name, value in flat.items()}


def prompts_seen(table: pd.DataFrame) -> float | None:
    """The share of the test prompts that have images in train; None where no test image has a prompt."""
    prompted = table[table["prompt"].str.strip() != ""]
    groups = prompt_groups(prompted)
    train, test = (set(groups[prompted["split"] == part]) for part in ("train", "test"))
    return len(test & train) / len(test) if test else None


def rounded(value: Any, decimals: int) -> Any:
    """The same nested value with its floats rounded: more digits would only record the order of additions."""
    if isinstance(value, dict):
        return {key: rounded(inner, decimals) for key, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner, decimals) for inner in value]
    return round(value, decimals) if isinstance(value, float) else value
