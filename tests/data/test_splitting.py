"""Properties of the split protocols, over data sets that hypothesis draws."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.splitting.prompts import prompt_groups
from data.splitting.protocols import MIN_IMAGES, prompt_disjoint, split
from data.splitting.settings import Split
from m3agiqa.errors import InputError

FRACTIONS = {"val": 0.12, "test": 0.25, "seed": 0}
FOLDS = {"folds": 3, "fold": 1}


def grid(prompts, generators):
    rows = [(f"{g}_{p:04}", f"prompt {p}", f"generator {g}") for p in range(prompts) for g in range(generators)]
    return pd.DataFrame(rows, columns=["image_id", "prompt", "generator"])


@st.composite
def data_sets(draw):
    """Uneven groups, several generators, some images without a prompt; enough of each to split."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=16, max_size=40))
    rows = [
        (f"prompt {number}" if draw(st.integers(0, 9)) else " ", draw(st.sampled_from("abc")))
        for number, size in enumerate(sizes)
        for _ in range(size)
    ]
    rows += [("", "a")] * max(0, 60 - len(rows))
    frame = pd.DataFrame(rows, columns=["prompt", "generator"])
    return frame.assign(image_id=[f"image {number:03}" for number in range(len(frame))])


@settings(deadline=None, max_examples=60)
@given(frame=data_sets(), seed=st.integers(0, 2**32 - 1), order=st.integers(0, 2**32 - 1))
def test_complete_disjoint_deterministic_and_near_the_targets(frame, seed, order):
    split = prompt_disjoint(frame, val=0.15, test=0.25, seed=seed)
    assert list(split["image_id"]) == sorted(frame["image_id"])
    assert set(split["split"]) == {"train", "val", "test"}

    both = frame.merge(split, on="image_id")
    groups = both["prompt"].where(both["prompt"].str.strip() != "", both["image_id"])
    assert both.assign(group=groups)[["group", "split"]].drop_duplicates()["group"].is_unique

    shuffled = frame.sample(frac=1, random_state=order)
    pd.testing.assert_frame_equal(prompt_disjoint(shuffled, val=0.15, test=0.25, seed=seed), split)

    largest = groups.value_counts().max()
    for part, fraction in {"train": 0.6, "val": 0.15, "test": 0.25}.items():
        assert abs((split["split"] == part).sum() - fraction * len(split)) <= largest


def test_a_grid_is_split_exactly_in_all_generators():
    frame = grid(100, 6)
    both = frame.merge(prompt_disjoint(frame, **FRACTIONS), on="image_id")
    counts = pd.crosstab(both["generator"], both["split"])
    assert (counts["train"] == 63).all()
    assert (counts["val"] == 12).all()
    assert (counts["test"] == 25).all()


def test_without_prompts_every_image_is_dealt_alone_and_stratified():
    frame = grid(100, 3).assign(prompt="")
    both = frame.merge(prompt_disjoint(frame, **FRACTIONS), on="image_id")
    counts = pd.crosstab(both["generator"], both["split"])
    assert abs(counts - np.array([25, 63, 12])).to_numpy().max() <= 1  # test, train, val


def test_seeds_differ():
    frame = grid(40, 3)
    one, two = (prompt_disjoint(frame, val=0.2, test=0.2, seed=seed) for seed in (0, 1))
    assert (one["split"] != two["split"]).any()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A Red Car", "a red car"),
        ("a red car", "  a\n red\tcar "),
        ("a red car", "ａ ｒｅｄ ｃａｒ"),
        ("Straße", "STRASSE"),
        ("caf\u00e9", "cafe\u0301"),
        ("\u0130stanbul", "i\u0307STANBUL"),
    ],
)
def test_one_prompt_however_it_is_written(one, other):
    frame = grid(30, 2)
    frame.loc[frame["prompt"] == "prompt 0", "prompt"] = [one, other]
    for seed in range(5):
        split = prompt_disjoint(frame, val=0.3, test=0.3, seed=seed).set_index("image_id")["split"]
        assert split["0_0000"] == split["1_0000"]


def test_too_few_prompts():
    with pytest.raises(InputError, match="the 40 images make 2 groups that share no prompt and no picture, at least 3"):
        prompt_disjoint(grid(2, 20), **FRACTIONS)


def test_too_few_images():
    with pytest.raises(InputError, match=rf"12 images of 12 prompts leave \d images for \w+, at least {MIN_IMAGES}"):
        prompt_disjoint(grid(12, 1), **FRACTIONS)


@pytest.mark.parametrize(("val", "test"), [(0, 0.2), (0.2, 0), (0.5, 0.5), (-0.1, 0.2), (float("nan"), 0.2)])
def test_impossible_fractions(val, test):
    with pytest.raises(InputError, match="together below 1"):
        prompt_disjoint(grid(30, 2), val=val, test=test, seed=0)


@settings(deadline=None, max_examples=40)
@given(
    frame=data_sets(),
    protocol=st.sampled_from(["prompt-disjoint", "random", "k-fold"]),
    seed=st.integers(0, 2**32 - 1),
    order=st.integers(0, 2**32 - 1),
)
def test_every_protocol_is_complete_disjoint_and_blind_to_the_order_of_rows(frame, protocol, seed, order):
    shares = {"val": 0.2, "test": 0.25, "seed": seed, **FOLDS}
    parts = split(frame, "any", Split(protocol=protocol, **shares))
    assert list(parts["image_id"]) == sorted(frame["image_id"])
    assert set(parts["split"]) == {"train", "val", "test"}
    shuffled = frame.sample(frac=1, random_state=order)
    pd.testing.assert_frame_equal(split(shuffled, "any", Split(protocol=protocol, **shares)), parts)
    if protocol != "random":
        of = frame.assign(group=prompt_groups(frame)).merge(parts, on="image_id")
        assert of[["group", "split"]].drop_duplicates()["group"].is_unique


@settings(deadline=None, max_examples=15)
@given(frame=data_sets(), seed=st.integers(0, 2**32 - 1))
def test_each_image_is_tested_in_exactly_one_fold(frame, seed):
    tested = []
    for fold in (1, 2, 3):
        parts = split(frame, "any", Split(protocol="k-fold", val=0.2, test=0.25, seed=seed, folds=3, fold=fold))
        tested += list(parts.loc[parts["split"] == "test", "image_id"])
    assert sorted(tested) == sorted(frame["image_id"])


def test_a_random_split_shares_prompts_and_keeps_the_generators():
    frame = grid(100, 4)
    parts = frame.merge(split(frame, "any", Split(protocol="random", **FRACTIONS, **FOLDS)), on="image_id")
    counts = pd.crosstab(parts["generator"], parts["split"])
    assert abs(counts - np.array([25, 63, 12])).to_numpy().max() <= 1  # test, train, val
    train, test = (set(parts.loc[parts["split"] == part, "prompt"]) for part in ("train", "test"))
    assert len(test & train) > 0.8 * len(test)


def test_val_that_takes_all_there_is_to_train_on_is_refused():
    frame = grid(600, 4).assign(path=[f"{number}.png" for number in range(2400)])
    with pytest.raises(InputError, match=r"val 0.8 of 2400 images leaves none of the 1800 to train on"):
        split(frame, "aigciqa2023", Split(protocol="published", val=0.8, test=0.25, seed=0, **FOLDS))


@pytest.mark.parametrize("protocol", ["published", "ipce-k"])
def test_a_data_set_without_published_lists_is_named(protocol):
    with pytest.raises(
        InputError, match=r"no published test lists for data set 'mine', only for agiqa-3k, aigciqa2023"
    ):
        split(grid(30, 3), "mine", Split(protocol=protocol, **FRACTIONS, **FOLDS))


def test_a_data_set_that_brings_the_authors_split_is_split_so():
    frame = grid(30, 3)
    own = split(frame, "any", Split(protocol="random", **FRACTIONS, **FOLDS))
    taken = split(frame, "any", Split(protocol="published", **FRACTIONS, **FOLDS), own)
    pd.testing.assert_frame_equal(taken, own)
    nothing_tested = own.assign(split=own["split"].replace("test", "train"))
    with pytest.raises(InputError, match=r"leave 0 images for test"):
        split(frame, "any", Split(protocol="published", **FRACTIONS, **FOLDS), nothing_tested)


@pytest.mark.parametrize(
    ("protocol", "shares"),
    [("prompt-disjoint", (0.5, 0.5)), ("random", (0.7, 0.4)), ("k-fold", (0.67, 0.1))],
)
def test_shares_that_leave_nothing_are_refused_as_settings(protocol, shares):
    val, test = shares
    with pytest.raises(ValueError, match=rf"val {val} and the .* that {protocol} tests leave nothing to train on"):
        Split(protocol=protocol, val=val, test=test, seed=0, **FOLDS)
    Split(protocol="published", val=val, test=test, seed=0, **FOLDS)
