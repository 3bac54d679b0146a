"""Which images belong together, and that no way of dealing them out takes them apart."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.splitting.prompts import pictures_seen, prompt_groups, prompts_of, repeated
from data.splitting.protocols import split
from data.splitting.published import lists_of
from data.splitting.settings import Split

SHARES = {"val": 0.2, "test": 0.25, "folds": 3, "fold": 1}


def samples(prompts, pixels=None):
    ids = [f"i{number:03}" for number in range(len(prompts))]
    frame = pd.DataFrame({"image_id": ids, "prompt": prompts, "generator": "g", "path": ids})
    return frame.assign(pixels=ids if pixels is None else pixels)


def together(frame):
    """The images, by group."""
    return sorted(sorted(ids) for ids in frame.groupby(prompt_groups(frame))["image_id"].agg(list))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a red car", "a red car."),
        ("A red car, at night", "a red car at night"),
        ("a red-car (at night)", "a red car: at night!"),
        ("the cat’s “hat”", "the cat's 'hat'"),
        ("雪、山。", "雪 山"),
        ("a car | a road", "a car, a road"),
        ("\ufeffa red\u200bcar", "a red car"),
    ],
)
def test_prompts_that_differ_in_punctuation_are_one(one, other):
    frame = samples([one, other, "a blue car"])
    assert together(frame) == [["i000", "i001"], ["i002"]]
    assert repeated(frame).prompts == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("?!", "..."), ("—", "?!"), ("a cat 🐈", "a cat 🐕"), ("car 1", "car 2"), ("हिन्दी", "हिन्द")],
)
def test_prompts_that_differ_in_more_are_two(one, other):
    frame = samples([one, other])
    assert together(frame) == [["i000"], ["i001"]]
    assert repeated(frame) == (0, 0)


def test_prompts_of_nothing_but_punctuation_are_prompts():
    frame = samples(["?!", "?!", "...", ""])
    assert together(frame) == [["i000", "i001"], ["i002"], ["i003"]]
    assert prompts_of(frame).nunique() == 3


def test_one_picture_joins_its_prompts_and_their_images():
    frame = samples(["a", "a", "b", "b", "c", "", ""], pixels=["1", "black", "black", "2", "3", "twin", "twin"])
    assert together(frame) == [["i000", "i001", "i002", "i003"], ["i004"], ["i005", "i006"]]
    assert list(prompts_of(frame)[:4]) == ["prompt a", "prompt a", "prompt b", "prompt b"]
    assert repeated(frame) == (2, 0)


def test_a_chain_of_prompts_and_pictures_is_one_group():
    frame = samples(
        [f"prompt {number // 2}" for number in range(100)], [str((number + 1) // 2) for number in range(100)]
    )
    assert together(frame) == [sorted(frame["image_id"])]


def test_a_table_that_knows_no_pictures_is_grouped_by_its_prompts():
    frame = samples(["a", "A!", "b", ""]).drop(columns="pixels")
    assert together(frame) == [["i000", "i001"], ["i002"], ["i003"]]


@st.composite
def data_sets(draw):
    """Ninety images, of which some have the prompt or the picture of another one, and every fourth no prompt."""
    prompts, pixels = list(range(90)), list(range(90))
    pairs = st.lists(st.tuples(st.integers(0, 89), st.integers(0, 89)), min_size=5, max_size=12)
    for column in (prompts, pixels):
        for one, other in draw(pairs):
            column[one] = column[other]
    written = [f"prompt {prompt}{'.' * (row % 2)}" if prompt % 4 else "" for row, prompt in enumerate(prompts)]
    return samples(written, list(map(str, pixels)))


@settings(deadline=None, max_examples=30)
@given(
    frame=data_sets(),
    protocol=st.sampled_from(["prompt-disjoint", "random", "k-fold"]),
    seed=st.integers(0, 2**32 - 1),
    order=st.integers(0, 2**32 - 1),
)
def test_no_picture_is_in_two_parts_whatever_the_protocol(frame, protocol, seed, order):
    chosen = Split(protocol=protocol, seed=seed, **SHARES)
    parts = split(frame, "any", chosen)
    of = frame.merge(parts, on="image_id")
    assert of[["pixels", "split"]].drop_duplicates()["pixels"].is_unique
    assert pictures_seen(of) == 0
    if protocol != "random":
        group = of["prompt"].str.rstrip(".")
        crossing = of.assign(group=group)[group != ""][["group", "split"]].drop_duplicates()
        assert crossing["group"].is_unique
    shuffled = frame.sample(frac=1, random_state=order)
    pd.testing.assert_frame_equal(split(shuffled, "any", chosen), parts)


def test_the_authors_list_stays_and_what_it_shares_is_counted():
    frame = samples([f"prompt {number}" for number in range(30)], ["black"] * 6 + [str(number) for number in range(24)])
    own = pd.DataFrame({"image_id": frame["image_id"], "split": np.tile(["train", "val", "test"], 10)})
    parts = split(frame, "any", Split(protocol="published", seed=0, **SHARES), own)
    pd.testing.assert_frame_equal(parts, own)
    assert pictures_seen(frame.merge(parts, on="image_id")) == 2


def test_where_the_authors_have_no_val_it_is_taken_out_of_their_train():
    pairs = [f"pair {number // 2}" for number in range(60)]
    frame = samples([""] * 100, pairs + [str(number) for number in range(40)])
    own = pd.DataFrame({"image_id": frame["image_id"], "split": ["train"] * 80 + ["test"] * 20})
    parts = split(frame, "any", Split(protocol="published", seed=0, **SHARES), own)["split"]
    assert (parts == "test").equals(own["split"] == "test")
    assert parts.value_counts().to_dict() == {"train": 60, "val": 20, "test": 20}
    assert list(parts[:60:2]) == list(parts[1:60:2])


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("k-fold", {"train": 60, "val": 20, "test": 20}),
        ("prompt-disjoint", {"train": 55, "val": 20, "test": 25}),
        ("random", {"train": 55, "val": 20, "test": 25}),
    ],
)
def test_photographs_without_any_prompt_are_dealt_out_one_by_one(protocol, expected):
    frame = samples([""] * 50 + [" "] * 50)
    parts = split(frame, "any", Split(protocol=protocol, seed=0, **(SHARES | {"folds": 5})))
    assert parts["split"].value_counts().to_dict() == expected


@pytest.mark.parametrize(
    ("dataset", "protocol", "lists", "twins"),
    [
        ("aigciqa2023", "published", ["all"], "pixels"),
        ("agiqa-3k", "published", ["quality", "correspondence"], "pixels"),
        ("agiqa-3k", "ipce-k", ["ipce-1"], "pixels"),
        ("agiqa-3k", "ipce-k", ["ipce-1"], "prompt"),
    ],
)
def test_val_beside_others_lists_takes_no_two_apart(dataset, protocol, lists, twins):
    """Beside the listed images there are 1,800 others, and everything among those is there twice."""
    listed = sorted(set().union(*(lists_of(dataset)[name] for name in lists)))
    frame = samples([""] * (len(listed) + 1800))
    frame["path"] = [*listed, *(f"another {number}.png" for number in range(1800))]
    pairs = [f"pair {number // 2}" for number in range(1800)]
    frame.loc[len(listed) :, twins] = pairs
    frame[["mos_quality", "mos_correspondence"]] = 2.5
    parts = split(frame, dataset, Split(protocol=protocol, seed=0, **SHARES)).set_index("image_id")
    by_list = dict(zip(lists, [f"split_{name}" for name in lists] if len(lists) > 1 else ["split"], strict=True))
    for name, column in by_list.items():
        part = frame["image_id"].map(parts[column])
        assert set(frame.loc[part == "test", "path"]) == lists_of(dataset)[name]
        of_pairs = pd.DataFrame({"pair": pairs, "part": part[len(listed) :]}).drop_duplicates()
        assert of_pairs["pair"].is_unique
        assert set(of_pairs["part"]) == {"train", "val"}
