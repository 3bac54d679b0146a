"""How much a teacher's texts tell of the scores that people gave, aspect by aspect: what a student can learn from them.

Explanations are prose, and need not hold a rating word. So two things are measured:

- the rating words that do stand there (evaluation/verdicts.py), against the word that the MOS gives;
- how well the MOS can be read off all the words: a ridge on TF-IDF of words and pairs of words learns it from the other
  images, in folds that share no prompt, and its readings are ranked against the MOS. The number of words alone, which
  tells nothing of what is seen, stands beside it.

Of a teacher that was shown the scores this says how well it wrote down what it knew; of one that was not, what it saw.
Images that are tested on an aspect are left out of it, whoever has described them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from data.splitting.prompts import prompt_groups
from data.tables.frames import aspects_of, column_names, read_table, split_column
from evaluation import bootstrap, metrics
from evaluation.metrics import Floats
from evaluation.verdicts import Verdict, verdict
from evaluation.words import tfidf
from m3agiqa.mllm.conversation import RATING_WORDS, word_of
from pipeline import paths

FOLDS = 5
PENALTY = 1.0  # of the ridge; TF-IDF's rows have the length 1
RESAMPLES, SEED = 1000, 0  # of the intervals
SHOWN = 3  # examples of each kind


class Ranked(NamedTuple):
    """A rank correlation with its 95 % interval, resampled by prompt; None where there is none."""

    srcc: float | None
    srcc_ci: list[float] | None


def measured(dataset: str) -> dict[str, dict[str, Any]]:
    """By aspect: the figures of all captions of a data set."""
    samples, splits, texts = paths.samples(dataset), paths.splits(dataset), read_table(paths.captions(dataset))
    return {aspect: figures(rated(samples, splits, texts, aspect)) for aspect in aspects_of(column_names(samples))}


def rated(samples: Path, splits: Path, texts: pd.DataFrame, aspect: str) -> pd.DataFrame:
    """image_id, prompt, mos, text and group of the images with a text and a MOS that are not tested on `aspect`.

    `texts` has image_id and a column of the aspect's name; `group` numbers the images that share a prompt or a picture.
    """
    there, parts = column_names(samples), read_table(splits)
    known = [name for name in ("prompt", "pixels", f"mos_{aspect}") if name in there]
    learned = parts.loc[parts[split_column(parts, aspect)] != "test", "image_id"]
    said = texts.loc[texts["image_id"].isin(learned), ["image_id", aspect]]
    rows = read_table(samples, known).merge(said, on="image_id", validate="one_to_one")
    rows = rows.rename(columns={f"mos_{aspect}": "mos", aspect: "text"}).dropna(subset=["mos", "text"])
    return rows.assign(group=pd.factorize(prompt_groups(rows))[0]).reset_index(drop=True)


def figures(rows: pd.DataFrame) -> dict[str, Any]:
    """All of one aspect, from what `rated` gives, which may have no row."""
    readings, verdicts = by_words(rows), rows["text"].map(verdict)
    lengths = words_of(rows["text"])
    return {
        "texts": len(rows),
        "different_texts": rows["text"].nunique(),
        "words": _spread(lengths),
        "rating_words": _agreement(list(verdicts), [RATING_WORDS.index(word_of(mos)) for mos in rows["mos"]]),
        "mos_from_words": ranked(readings, rows)._asdict(),
        "mos_from_length": ranked(lengths, rows)._asdict(),
        "examples": _examples(rows.assign(reading=readings, level=[said.level for said in verdicts])),
    }


def words_of(texts: Iterable[str]) -> Floats:
    """(n,): how many words each text has."""
    return np.array([len(text.split()) for text in texts], float)


def by_words(rows: pd.DataFrame) -> Floats:
    """(n,): the MOS as each text tells it, learnt from images of other prompts; NaN where there are none.

    A ridge keeps to the middle where words tell little. So its readings only say the order: the lowest stands for the
    lowest MOS, and so on, so that they differ from the MOS, and from another teacher's, by what the words tell.
    """
    texts, mos, groups = (rows[name].to_numpy() for name in ("text", "mos", "group"))
    folds = min(FOLDS, len(set(groups)))
    readings: Floats = np.full(len(rows), np.nan)
    if folds < 2:
        return readings
    for train, held_out in GroupKFold(folds).split(texts, groups=groups):
        words = tfidf()
        learnt = Ridge(PENALTY).fit(words.fit_transform(texts[train]), mos[train] - mos[train].mean())
        # Without the mean of the fold's training MOS, which is high where the MOS held out of it are low.
        readings[held_out] = learnt.predict(words.transform(texts[held_out]))
    places = stats.rankdata(readings.round(6))  # rounded: equal texts are equal up to a last bit
    on_the_scale: Floats = np.interp(places, np.arange(1, len(rows) + 1), np.sort(mos))
    return on_the_scale


def ranked(values: ArrayLike, rows: pd.DataFrame, against: str = "mos") -> Ranked:
    """How well `values` (n,) put the rows in the order of their column `against`."""
    one, other, groups = np.asarray(values, float), rows[against].to_numpy(float), rows["group"].to_numpy()
    if len(rows) < metrics.MIN_IMAGES or len(set(groups)) < 2 or not all(map(_varies, (one, other))):
        return Ranked(None, None)
    srcc = metrics.srcc(one, other)
    edges = bootstrap.interval(bootstrap.srcc, one, other, groups, resamples=RESAMPLES, seed=SEED)
    return Ranked(srcc and round(srcc, 3), edges and [round(edge, 3) for edge in edges])


def _varies(values: Floats) -> bool:
    """By more than rounding does; NaN are no values."""
    return bool(np.ptp(values) > 1e-9)


def _spread(lengths: Floats) -> dict[str, float] | None:
    if not len(lengths):
        return None
    low, median, high = np.quantile(lengths, [0.05, 0.5, 0.95])
    mean = round(float(lengths.mean()), 1)
    return {"mean": mean, "q05": round(float(low), 1), "median": round(float(median), 1), "q95": round(float(high), 1)}


def _agreement(said: Sequence[Verdict], true: Sequence[int]) -> dict[str, Any]:
    """Of the texts with a clear rating word; `usual` is how often the commonest word by their MOS would be right."""
    clear = [(one.level, level) for one, level in zip(said, true, strict=True) if one.level is not None]
    shares: dict[str, float | None] = dict.fromkeys(("right", "within_one", "usual"))
    if clear:
        words, levels = np.array(clear).T
        off, commonest = np.abs(words - levels), np.bincount(levels).max()
        found = float(np.mean(off == 0)), float(np.mean(off <= 1)), float(commonest / len(clear))
        shares = {name: round(share, 3) for name, share in zip(shares, found, strict=True)}
    return {"texts": sum(one.said for one in said), "decided": len(clear), **shares}


def _examples(rows: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Images from a low, a middle and a high MOS, then those on which words and MOS differ most; none twice."""
    ordered = rows.sort_values(["mos", "image_id"])
    places = np.round(np.linspace(0.1, 0.9, SHOWN) * (len(rows) - 1)).astype(int)
    typical = ordered.iloc[np.unique(places)[: len(rows)]]
    others = rows.drop(typical.index)
    off = others.assign(off=(others["reading"] - others["mos"]).abs().round(6)).dropna(subset=["off"])
    differing = off.sort_values(["off", "image_id"], ascending=[False, True]).head(SHOWN)
    return {"by_mos": [_example(row) for _, row in typical.iterrows()],
            "differing": [_example(row) for _, row in differing.iterrows()]}  # fmt: skip


def _example(row: pd.Series) -> dict[str, Any]:
    return {
        "image_id": row["image_id"],
        "mos": round(float(row["mos"]), 2),
        "by_words": None if pd.isna(row["reading"]) else round(float(row["reading"]), 2),
        "word": None if pd.isna(row["level"]) else RATING_WORDS[int(row["level"])],
        "word_mos": word_of(row["mos"]),
    }
