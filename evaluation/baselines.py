"""What simpler predictors reach on the same rows: a model is worth its distance from the best of them.

Each baseline is fitted on the training rows, takes its ridge penalty from the validation rows, and
predicts all rows; which of them is the best to beat is chosen on the validation rows too. The MOS of
the test rows is taken away before anything else is done.

| baseline | knows |
|---|---|
| generator_mean | which generator made the image, and no pixel |
| generator_prompt_mean | the generator, and the scores of other images of the prompt, where the split shares prompts |
| tfidf_prompt_generator | the prompt's words and the generator, and no pixel |
| piqe | PIQE alone, a published no-reference metric, negated; nothing is learnt but its place on the MOS scale |
| pixel_measurements | the offline teacher's measurements: sharpness, noise, contrast, … |
| tfidf_description | the words of the student's description |
| vision_tower | what the language model is shown of the image, before its first layer: mean and spread over tokens |
| mean_hidden_states | the student's hidden states, averaged over the tokens: a linear head |
| student_word | the student's rating word, as the middle of its interval |
| expected_word | the mean of the five words, by how likely the student takes each to be |
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn.base import TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from data.splitting.prompts import prompt_groups
from evaluation import ridge
from evaluation.words import tfidf
from m3agiqa.mllm.conversation import WORD_MIDDLES

Floats = NDArray[np.float64]

log = logging.getLogger(__name__)

PENALTIES = [10.0**power for power in range(4, -4, -1)]  # strongest first: it wins ties


class NotComputableError(ValueError):
    """A baseline that this data set cannot have; the message says why."""


@dataclass(frozen=True)
class Rows:
    """The samples that baselines see, test MOS removed.

    `table` has one row an image with image_id, split, mos, prompt, generator, description, level (the student's rating
    word, 0-4), expected (the five words' mean, 0-5) and piqe (0 good to 100). `measurements`, `states` and `vision`
    have one row an image, in its order; the last two may lie in a file, and `vision` may be empty, (N, 0).
    """

    table: pd.DataFrame
    measurements: pd.DataFrame
    states: ridge.Table
    vision: ridge.Table

    def __post_init__(self) -> None:
        lengths = {len(self.table), len(self.measurements), self.states.shape[0], self.vision.shape[0]}
        if len(lengths) > 1:
            raise ValueError(f"table, measurements, states and vision differ in length: {sorted(lengths)}")
        hidden = self.table.assign(mos=self.table["mos"].where(self.table["split"] != "test"))
        object.__setattr__(self, "table", hidden.reset_index(drop=True))

    def where(self, split: str) -> NDArray[np.intp]:
        return np.flatnonzero(self.table["split"] == split)

    def mos(self, split: str) -> Floats:
        return self.table["mos"].to_numpy(float)[self.where(split)]


def predict_all(rows: Rows) -> dict[str, Floats | None]:
    """Each baseline's predictions (N,) of all rows, in the table's order; None, with a warning, where it has none."""
    found: dict[str, Floats | None] = {}
    for name, baseline in BASELINES.items():
        try:
            found[name] = baseline(rows)
        except NotComputableError as reason:
            log.warning("baseline %s: null, %s", name, reason)
            found[name] = None
    return found


def generator_mean(rows: Rows) -> Floats:
    """Predict the mean MOS of the image's generator in training; of all images where it was not seen there."""
    generators, train = rows.table["generator"], rows.where("train")
    if generators.iloc[train].loc[lambda names: names != ""].nunique() < 2:
        raise NotComputableError("fewer than two generators are known")
    scores = pd.Series(rows.mos("train"))
    means = scores.groupby(generators.iloc[train].to_numpy()).mean()
    return np.asarray(generators.map(means).fillna(scores.mean()), np.float64)


def generator_prompt_mean(rows: Rows) -> Floats:
    """The generator's level plus the prompt's, both shrunk as val advises: a ridge on two names, without any pixel."""
    groups = prompt_groups(rows.table)
    train, test = (set(groups.iloc[rows.where(part)]) for part in ("train", "test"))
    if not train & test:
        raise NotComputableError("no test prompt was seen in training")
    names = pd.DataFrame({"generator": rows.table["generator"], "prompt": groups})
    return _ridge(OneHotEncoder(handle_unknown="ignore"), names, rows)


def tfidf_prompt_generator(rows: Rows) -> Floats:
    if not rows.table["prompt"].iloc[rows.where("train")].str.strip().any():
        raise NotComputableError("there are no prompts")
    columns = make_column_transformer(
        (tfidf(), "prompt"),
        (OneHotEncoder(handle_unknown="ignore"), ["generator"]),
    )
    return _ridge(columns, rows.table[["prompt", "generator"]], rows)


def piqe(rows: Rows) -> Floats:
    """The negated score, with the mean and the spread of the training MOS. Its direction is the metric's own."""
    scores, mos = -rows.table["piqe"].to_numpy(float), rows.mos("train")
    seen = scores[rows.where("train")]
    if not np.ptp(seen):
        raise NotComputableError("every training image has the same PIQE")
    predicted: Floats = mos.mean() + mos.std() * (scores - seen.mean()) / seen.std()
    return predicted


def pixel_measurements(rows: Rows) -> Floats:
    return _dense_ridge(rows.measurements.to_numpy(float), rows)


def tfidf_description(rows: Rows) -> Floats:
    if not rows.table["description"].iloc[rows.where("train")].str.strip().any():
        raise NotComputableError("there are no descriptions")
    return _ridge(tfidf(), rows.table["description"], rows)


def vision_tower(rows: Rows) -> Floats:
    if not rows.vision.shape[1]:
        raise NotComputableError("the MLLM does not tell what its language model is shown of an image")
    return _dense_ridge(rows.vision, rows)


def mean_hidden_states(rows: Rows) -> Floats:
    return _dense_ridge(rows.states, rows)


def student_word(rows: Rows) -> Floats:
    """No fit: a word stands for an interval one point wide, and predicts its middle."""
    return np.asarray(WORD_MIDDLES)[rows.table["level"]]


def expected_word(rows: Rows) -> Floats:
    """No fit: what Q-Align scores by (Wu et al., ICML 2024, arXiv 2312.17090)."""
    return rows.table["expected"].to_numpy(float)


def best_on_val(rows: Rows, found: Mapping[str, Floats | None]) -> str | None:
    """The baseline that ranks the validation rows best; a smaller error decides between equal ones."""
    val, mos = rows.where("val"), rows.mos("val")
    scores = {name: _score(predicted[val], mos) for name, predicted in found.items() if predicted is not None}
    return max(scores, key=lambda name: scores[name], default=None)


BASELINES: dict[str, Callable[[Rows], Floats]] = {
    baseline.__name__: baseline
    for baseline in (
        generator_mean,
        generator_prompt_mean,
        tfidf_prompt_generator,
        piqe,
        pixel_measurements,
        tfidf_description,
        vision_tower,
        mean_hidden_states,
        student_word,
        expected_word,
    )
}


LABELS = {  # for people
    "generator_mean": "generator mean",
    "generator_prompt_mean": "generator and prompt means",
    "tfidf_prompt_generator": "ridge on prompt words + generator",
    "piqe": "PIQE (negated)",
    "pixel_measurements": "ridge on pixel measurements",
    "tfidf_description": "ridge on description words",
    "vision_tower": "ridge on the vision tower's output",
    "mean_hidden_states": "ridge on mean hidden states",
    "student_word": "student's rating word",
    "expected_word": "student's expected word",
}


def _ridge(encoder: TransformerMixin, inputs: pd.DataFrame | pd.Series, rows: Rows) -> Floats:
    """Encode (fitted on train), regress with each penalty, keep the one with the best SRCC on val, predict all.

    Raises: NotComputableError if the training texts hold no word at all.
    """
    encoder = make_pipeline(encoder)
    try:
        train = encoder.fit_transform(inputs.iloc[rows.where("train")])
    except ValueError as error:
        if "empty vocabulary" in str(error):
            raise NotComputableError("the texts hold no words") from None
        raise
    val, val_mos = encoder.transform(inputs.iloc[rows.where("val")]), rows.mos("val")
    fits = [Ridge(alpha).fit(train, rows.mos("train")) for alpha in PENALTIES]
    best = max(fits, key=lambda fit: _score(fit.predict(val), val_mos))
    predicted: Floats = best.predict(encoder.transform(inputs))
    return predicted


def _dense_ridge(inputs: ridge.Table, rows: Rows) -> Floats:
    """The same on columns of numbers, standardised."""
    val, mos = rows.where("val"), rows.mos("val")
    predicted = ridge.fit(inputs, rows.where("train"), rows.mos("train"), PENALTIES).predict(inputs)  # (N, penalties)
    best = max(range(len(PENALTIES)), key=lambda column: _score(predicted[val, column], mos))
    return predicted[:, best]


class _Score(NamedTuple):
    """By which predictors are ordered: val may be too small, or a heavy penalty too flat, for the SRCC to tell."""

    srcc: float
    less_error: float


def _score(predicted: Floats, mos: Floats) -> _Score:
    ranked = len(mos) > 2 and np.ptp(predicted) > 0 and np.ptp(mos) > 0
    return _Score(
        round(float(stats.spearmanr(predicted, mos).statistic), 6) if ranked else -1.0,
        -float(np.mean((predicted - mos) ** 2)),
    )
