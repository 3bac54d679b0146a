"""Which images belong together: they show the same things, and are no independent evidence.

Images of one prompt do, and so do images that are the same picture: the black one of a safety checker stands under
many prompts, and joins them. Prompts that differ only in case, spacing, punctuation or Unicode form are one prompt; an
image without a prompt is a group of its own.
"""

import string
import unicodedata
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


class Repeated(NamedTuple):
    """What a data set has more than once."""

    pictures: int  # images that show the picture of another one: all but one of each picture
    prompts: int  # prompts that are another one, but for case, spacing, punctuation or Unicode form


class _Blanks(dict[int, str]):
    """For str.translate: a space for what is punctuation, and for what is not to be seen at all."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        blank = category[0] == "P" or category in {"Cc", "Cf"} or character in string.punctuation
        return self.setdefault(code, " " if blank else character)


_BLANKS = _Blanks()


def prompt_groups(samples: pd.DataFrame) -> pd.Series:
    """The name of each image's group: the first of its prompts, or, without any, the first of its images.

    `samples` has image_id, prompt and, to tell which images are the same picture, pixels (m3agiqa/images.py); a table
    without that column is grouped by its prompts alone.
    """
    written = samples["prompt"].map(_normalised)
    names = ("prompt " + written).where(written != "", "image " + samples["image_id"])
    prompts, _ = pd.factorize(prompts_of(samples))
    pictures, _ = pd.factorize(picture_groups(samples))
    # A graph of prompts and pictures, of which each image joins two.
    size = len(samples)
    graph = coo_array((np.ones(size), (prompts, size + pictures)), shape=(2 * size, 2 * size))
    _, component = connected_components(graph, directed=False)
    return names.groupby(component[prompts]).transform("min")


def prompts_of(samples: pd.DataFrame) -> pd.Series:
    """What each image was generated from, however it was written; without a prompt, the image itself."""
    words = samples["prompt"].map(_normalised).map(_words)
    return ("prompt " + words).where(words != "", "image " + samples["image_id"])


def picture_groups(samples: pd.DataFrame) -> pd.Series:
    """The same, whatever the prompts: the first image of each picture."""
    return samples.groupby("pixels")["image_id"].transform("min") if "pixels" in samples else samples["image_id"]


def repeated(samples: pd.DataFrame) -> Repeated:
    """How much of a data set is there more than once; the columns are those of `prompt_groups`."""
    words = pd.Series(samples["prompt"].unique()).map(_normalised).map(_words)
    words = words[words != ""]
    return Repeated(len(samples) - samples["pixels"].nunique(), len(words) - words.nunique())


def pictures_seen(table: pd.DataFrame) -> int:
    """The number of test images (`split`) whose very picture is among the train images, too."""
    groups = picture_groups(table)
    return int(groups[table["split"] == "test"].isin(groups[table["split"] == "train"]).sum())


def _normalised(prompt: str) -> str:
    """NFKC, casefolded, single spaces. Casefolding can undo NFKC, so it is applied once more."""
    folded = unicodedata.normalize("NFKC", prompt).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def _words(normalised: str) -> str:
    """The same without punctuation, unless there is nothing else."""
    return " ".join(normalised.translate(_BLANKS).split()) or normalised
