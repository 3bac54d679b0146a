"""Protocols: which images are train, val and test.

| protocol | test | val |
|---|---|---|
| prompt-disjoint | a share of the prompts, with all their images | a share of the other prompts |
| k-fold | one of `folds` equal parts, no prompt in two of them | a share of the other prompts |
| random | a share of the pictures, whatever their prompts | a share of the other pictures |
| published | the authors' list; where each aspect has one of its own, each is split on its own | theirs, or as random |
| ipce-k | IPCE's k-th list (`fold`) of ten, which share no prompt with the rest | a share of the other prompts |

Images of one prompt show the same things, so a model that has seen one knows something of the others: where
a protocol lets prompts be shared, its figures say how much they are (`prompts_seen`). One picture under two
names is in one part whatever the protocol deals out (data/splitting/prompts.py); only others' lists stay as they
are, and how many of their test images were seen in training is said (`n_pictures_seen`).

Val is never part of train or test: every choice is made on it.

Of a joined data set, `on` names the one that is split by the protocol, as it would be alone: the others' images are
for training. So what they add is seen on the same test images that its own images alone are tested on.

Groups are dealt out whole, the larger first, each to the part where it does most to bring the
part's size and its number of images of each generator towards their targets. Distances are
measured as in a chi-squared statistic, (have - want)² / want, which lets a small part come into its
own before the large one takes everything.
"""

import numpy as np
import pandas as pd

from data.splitting.prompts import picture_groups, prompt_groups
from data.splitting.published import lists_of, on_list
from data.splitting.settings import Split
from data.tables.frames import SPLITS, aspects_of
from m3agiqa.errors import InputError

SHARING = ("random", "published")  # protocols that let prompts be shared
MIN_IMAGES = 5  # in each part: a rank correlation of fewer says nothing


def split(samples: pd.DataFrame, dataset: str, settings: Split, own: pd.DataFrame | None = None) -> pd.DataFrame:
    """Assign each image to train, val or test: columns image_id and split, sorted by image_id.

    `own` is the authors' split (image_id, split), where the data set brings it along; `published` then takes it.
    `val` and `test` are shares of all images; folds are counted from 1. Where the published lists differ from
    aspect to aspect, there is a column `split_<aspect>` for each, and `split` is `test` only for images that
    every aspect is tested on. The result depends on the samples and the settings, and not on the order of the rows.
    With `settings.on` the samples say which data set they are of (`set`).

    Raises:
        InputError: the shares leave nothing to train on, there are too few prompts or images, or no such list.
    """
    if settings.on is not None:
        return _on_one(samples, settings.on, settings.model_copy(update={"on": None}), own)
    val, test, seed, fold = settings.val, settings.test, settings.seed, settings.fold
    samples = samples.sort_values("image_id", kind="stable", ignore_index=True)
    match settings.protocol:
        case "prompt-disjoint":
            return prompt_disjoint(samples, val=val, test=test, seed=seed)
        case "random":
            return _table(samples, _dealt(samples, picture_groups(samples), _fractions(val, test), seed))
        case "k-fold":
            part = _dealt(samples, prompt_groups(samples), np.full(settings.folds, 1 / settings.folds), seed)
            return _table(samples, _with_val(samples, part == fold - 1, prompt_groups(samples), val, seed))
        case "ipce-k":
            listed = on_list(samples, dataset, f"ipce-{fold}")
            return _table(samples, _with_val(samples, listed, prompt_groups(samples), val, seed))
        case "published":
            return _published(samples, dataset, val, seed) if own is None else _authors(samples, own, val, seed)


def prompt_disjoint(samples: pd.DataFrame, *, val: float, test: float, seed: int) -> pd.DataFrame:
    """No prompt and no picture has images in two parts."""
    samples = samples.sort_values("image_id", kind="stable", ignore_index=True)
    return _table(samples, _dealt(samples, prompt_groups(samples), _fractions(val, test), seed))


def _on_one(samples: pd.DataFrame, on: str, settings: Split, own: pd.DataFrame | None) -> pd.DataFrame:
    """The data set `on` as it is split alone; all images of the others are for training."""
    one = samples[samples["set"] == on].dropna(axis="columns", how="all")  # no aspects that only others have
    if own is not None:
        own = own[own["image_id"].isin(one["image_id"])]
        own = None if own["split"].eq("train").all() else own  # what it is called where there is none
    alone = one.assign(path=one["path"].str.removeprefix(f"images/{on}_"))  # as lists of others name it
    whole = samples[["image_id"]].merge(split(alone, on, settings, own), on="image_id", how="left").fillna("train")
    if settings.protocol not in SHARING:
        groups = prompt_groups(samples).set_axis(samples["image_id"])
        held = set(groups[whole.loc[whole["split"] != "train", "image_id"]])
        there = groups[samples.loc[samples["set"] != on, "image_id"]]
        if shared := int(there.isin(held).sum()):
            raise InputError(
                f"split: {shared} images of other data sets have prompts of {on}'s val and test images, such as "
                f"{there.index[there.isin(held)][0]!r}; take split.protocol=random, which says how many, or another set"
            )
    return whole.sort_values("image_id", ignore_index=True)


def _authors(samples: pd.DataFrame, own: pd.DataFrame, val: float, seed: int) -> pd.DataFrame:
    """The authors' train, val and test; where they have no val, it is taken out of their train."""
    part = samples["image_id"].map(own.set_index("image_id")["split"])
    if "val" in set(part):
        return _table(samples, part.map(SPLITS.index).to_numpy())
    return _table(samples, _with_val(samples, part == "test", picture_groups(samples), val, seed))


def _published(samples: pd.DataFrame, dataset: str, val: float, seed: int) -> pd.DataFrame:
    """One split for every aspect, or, where the authors' lists differ, one for each."""
    lists = lists_of(dataset)
    if "all" in lists:
        listed = on_list(samples, dataset, "all")
        return _table(samples, _with_val(samples, listed, picture_groups(samples), val, seed))
    by_aspect = {
        f"split_{aspect}": _table(
            samples, _with_val(samples, on_list(samples, dataset, aspect), picture_groups(samples), val, seed)
        )["split"]
        for aspect in aspects_of(samples)
    }
    columns = pd.DataFrame(by_aspect)
    always = (columns == "test").all(axis=1)
    return pd.DataFrame({"image_id": samples["image_id"], "split": np.where(always, "test", "train")}).join(columns)


def _fractions(val: float, test: float) -> np.ndarray:
    if not (val > 0 and test > 0 and val + test < 1):
        raise InputError(f"split: val {val} and test {test} must be above 0 and together below 1")
    return np.array([1 - val - test, val, test])


def _dealt(samples: pd.DataFrame, groups: pd.Series, fractions: np.ndarray, seed: int) -> np.ndarray:
    """The part (an index into `fractions`) of each image; images of one group are in one part."""
    counts = pd.crosstab(groups.to_numpy(), samples["generator"].to_numpy())  # rows: groups, sorted by name
    if len(counts) < len(fractions):
        raise InputError(
            f"split: the {len(samples)} images make {len(counts)} groups that share no prompt and no picture, at least "
            f"{len(fractions)} needed (one for each part)"
        )
    part_of_group = pd.Series(_deal(counts.to_numpy(), fractions, seed), index=counts.index)
    return groups.map(part_of_group).to_numpy()


def _with_val(
    samples: pd.DataFrame, listed: pd.Series | np.ndarray, groups: pd.Series, val: float, seed: int
) -> np.ndarray:
    """The part of each image, given which are test: val takes `val` of all images out of the others, by group."""
    rest = ~np.asarray(listed)
    share = val * len(samples) / max(rest.sum(), 1)
    if not 0 < share < 1:
        raise InputError(f"split: val {val} of {len(samples)} images leaves none of the {rest.sum()} to train on")
    parts = np.full(len(samples), SPLITS.index("test"))
    parts[rest] = _dealt(samples[rest], groups[rest], np.array([1 - share, share]), seed)
    return parts


def _table(samples: pd.DataFrame, parts: np.ndarray) -> pd.DataFrame:
    """image_id and split. Raises InputError if a part is too small to say anything."""
    split = pd.Series(parts).map(dict(enumerate(SPLITS)))
    for part in SPLITS:
        if (have := int((split == part).sum())) < MIN_IMAGES:
            raise InputError(
                f"split: {len(samples)} images of {prompt_groups(samples).nunique()} prompts leave {have} images for "
                f"{part}, at least {MIN_IMAGES} needed; add images, or change the protocol or its shares"
            )
    return pd.DataFrame({"image_id": samples["image_id"], "split": split})


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
