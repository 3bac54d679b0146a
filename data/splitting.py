"""The protocol `prompt-disjoint`: no prompt has images in two parts.

Images of one prompt show the same things, so a model that has seen one knows something of the
others. Prompts that differ only in case, spacing or Unicode form are one prompt; an image without
a prompt is a group of its own.

Groups are dealt out whole, the larger first, each to the part where it does most to bring the
part's size and its number of images of each generator towards their targets. Distances are
measured as in a chi-squared statistic, (have - want)² / want, which lets a small part come into its
own before the large one takes everything.
"""

import unicodedata

import numpy as np
import pandas as pd

from data.errors import InputError
from data.tables import SPLITS

MIN_IMAGES = 5  # in each part: a rank correlation of fewer says nothing


def prompt_disjoint(samples: pd.DataFrame, *, val: float, test: float, seed: int) -> pd.DataFrame:
    """Assign each image to train, val or test: columns image_id and split, sorted by image_id.

    The result depends on the samples and the seed, and not on the order of the rows.

    Raises:
        InputError: the fractions leave nothing to train on, or there are too few prompts or images.
    """
    if not (val > 0 and test > 0 and val + test < 1):
        raise InputError(f"split: val {val} and test {test} must be above 0 and together below 1")
    samples = samples.sort_values("image_id", kind="stable", ignore_index=True)
    groups = _groups(samples)
    counts = pd.crosstab(groups, samples["generator"].to_numpy())  # rows: groups, sorted by name
    if len(counts) < len(SPLITS):
        raise InputError(f"split: {len(counts)} different prompts, at least {len(SPLITS)} needed (one for each part)")

    fractions = np.array([1 - val - test, val, test])
    part_of_group = pd.Series(_deal(counts.to_numpy(), fractions, seed), index=counts.index)
    split = groups.map(part_of_group).map(dict(enumerate(SPLITS)))
    for part in SPLITS:
        if (have := int((split == part).sum())) < MIN_IMAGES:
            raise InputError(
                f"split: {len(samples)} images of {len(counts)} prompts leave {have} images for {part}, at least "
                f"{MIN_IMAGES} needed; add images, or change val {val} and test {test}"
            )
    return pd.DataFrame({"image_id": samples["image_id"], "split": split})


def _groups(samples: pd.DataFrame) -> pd.Series:
    """The name of each image's group: its normalised prompt, or, without one, the image itself."""
    prompts = samples["prompt"].map(_normalised)
    return ("prompt " + prompts).where(prompts != "", "image " + samples["image_id"])


def _normalised(prompt: str) -> str:
    """NFKC, casefolded, single spaces. Casefolding can undo NFKC, so it is applied once more."""
    folded = unicodedata.normalize("NFKC", prompt).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def _deal(counts: np.ndarray, fractions: np.ndarray, seed: int) -> np.ndarray:
    """The part (an index into `fractions`) of each group. counts: (groups, generators)."""
    # A first column counts all images, as heavy as the generators together: size comes first.
    counts = np.column_stack([counts.sum(axis=1), counts]).astype(float)
    weights = np.array([counts.shape[1] - 1.0] + [1.0] * (counts.shape[1] - 1))
    target = np.outer(fractions, counts.sum(axis=0))  # (parts, 1 + generators)
    weights = weights / target
    have = np.zeros_like(target)
    parts = np.zeros(len(counts), dtype=int)
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    for group in shuffled[np.argsort(-counts[shuffled, 0], kind="stable")]:
        gain = (weights * ((have - target) ** 2 - (have + counts[group] - target) ** 2)).sum(axis=1)
        parts[group] = gain.argmax()
        have[parts[group]] += counts[group]
    return parts
