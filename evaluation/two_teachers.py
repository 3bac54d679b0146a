"""How far two teachers agree who have described the same images, on one aspect.

Each one's words are read as a MOS (evaluation/captions.py), in the same folds, and the two readings are ranked against
each other and against what people said. Everything is about the images that both have described.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from data.tables.frames import aspects_of, column_names
from evaluation import bootstrap
from evaluation.captions import RESAMPLES, SEED, Ranked, by_words, ranked, rated, words_of
from evaluation.words import WORD
from pipeline import paths

SHOWN = 3  # images on which they differ most


class Comparison(NamedTuple):
    """Two teachers on the images that both have described; what is one's alone stands in the order of the teachers."""

    images: int
    between: Ranked  # their readings
    mos: tuple[Ranked, Ranked]  # each one's reading and the MOS
    gain: Ranked  # the first one's SRCC with the MOS less the second one's, on the same resamples
    words: tuple[float, float]  # a text, on average
    vocabulary: tuple[int, int]  # different words
    shared: float  # of all different words, the share that both use
    differing: pd.DataFrame  # image_id, mos, text_1, text_2, reading_1, reading_2, the largest difference first


def compared(dataset: str, first: pd.DataFrame, second: pd.DataFrame) -> dict[str, Comparison]:
    """By aspect, of two tables with image_id and a column of texts for each; without one on which no image has both."""
    samples, splits = paths.samples(dataset), paths.splits(dataset)
    found = {}
    for aspect in aspects_of(column_names(samples)):
        one, two = (rated(samples, splits, texts, aspect) for texts in (first, second))
        if comparison := _compared(one, two):
            found[aspect] = comparison
    return found


def _compared(one: pd.DataFrame, two: pd.DataFrame) -> Comparison | None:
    rows = one.merge(two[["image_id", "text"]], on="image_id", suffixes=("_1", "_2"), validate="one_to_one")
    if rows.empty:
        return None
    rows["group"] = pd.factorize(rows["group"])[0]  # numbered without gaps
    for number in ("1", "2"):
        rows[f"reading_{number}"] = by_words(rows.rename(columns={f"text_{number}": "text"}))
    used = [_vocabulary(rows[text]) for text in ("text_1", "text_2")]
    both, either = used[0] & used[1], used[0] | used[1]
    return Comparison(
        images=len(rows),
        between=ranked(rows["reading_1"], rows, "reading_2"),
        mos=(ranked(rows["reading_1"], rows), ranked(rows["reading_2"], rows)),
        gain=_gain(rows),
        words=(float(words_of(rows["text_1"]).mean()), float(words_of(rows["text_2"]).mean())),
        vocabulary=(len(used[0]), len(used[1])),
        shared=len(both) / len(either),
        differing=_differing(rows),
    )


def _gain(rows: pd.DataFrame) -> Ranked:
    ours, theirs = (ranked(rows[reading], rows) for reading in ("reading_1", "reading_2"))
    if ours.srcc is None or theirs.srcc is None:
        return Ranked(None, None)
    columns = (rows[name] for name in ("reading_1", "reading_2", "mos", "group"))
    gain = bootstrap.srcc_gain(*columns, resamples=RESAMPLES, seed=SEED)
    return Ranked(None, None) if gain is None else Ranked(gain.srcc, gain.interval)


def _vocabulary(texts: Iterable[str]) -> set[str]:
    return {word.casefold() for text in texts for word in re.findall(WORD, text)}


def _differing(rows: pd.DataFrame) -> pd.DataFrame:
    off = rows.assign(off=(rows["reading_1"] - rows["reading_2"]).abs().round(6)).dropna(subset=["off"])
    return off.sort_values(["off", "image_id"], ascending=[False, True]).head(SHOWN).drop(columns="off")
