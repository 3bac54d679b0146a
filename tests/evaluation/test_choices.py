"""Choosing among images of one prompt: pairs in order and best images, against counting by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import choices

RNG = np.random.default_rng(7)
MOS = RNG.uniform(0, 5, 120)
PREDICTED = MOS + RNG.normal(size=120)
TIED = np.round(PREDICTED)  # seven values: almost all tied


def pairs_by_hand(predicted, mos, groups):
    right, pairs = 0.0, 0
    for i in range(len(mos)):
        for j in range(i):
            if groups[i] == groups[j] and mos[i] != mos[j]:
                order = (predicted[i] - predicted[j]) * (mos[i] - mos[j])
                right += 0.5 if order == 0 else float(order > 0)
                pairs += 1
    return right / pairs


@pytest.mark.parametrize("predicted", [PREDICTED, TIED, np.ones(120)], ids=["distinct", "tied", "constant"])
@pytest.mark.parametrize("mos", [MOS, np.round(MOS)], ids=["distinct MOS", "tied MOS"])
def test_pairs_within_are_those_counted_by_hand(predicted, mos):
    prompts = [f"prompt {number}" for number in RNG.integers(0, 15, 120)]
    assert choices.pairs_within(predicted, mos, prompts) == pytest.approx(pairs_by_hand(predicted, mos, prompts))


def test_pairs_within_tell_only_of_pairs():
    assert choices.pairs_within([1.0, 2, 3], [1.0, 2, 3], ["a", "b", "c"]) is None
    assert choices.pairs_within([1.0, 2, 9], [1.0, 2, 0], ["a", "a", "b"]) == 1.0
    assert choices.pairs_within([2.0, 1, 9], [1.0, 2, 0], ["a", "a", "b"]) == 0.0


def test_the_best_of_each_prompt():
    prompts = ["a", "b", "a", "b", "a", "c", "d", "d"]
    mos = [1.0, 2, 3, 1, 2, 5, 4, 4]
    assert choices.best_within(mos, mos, prompts) == (
        1.0,
        pytest.approx((1 / 3 + 1 / 2) / 2),
        2,
    )  # c and d tell nothing
    assert choices.best_within([9.0, 2, 3, 1, 2, 5, 4, 4], mos, prompts).share == 0.5  # a's worst is picked
    assert choices.best_within(np.ones(8), mos, prompts).share == pytest.approx((1 / 3 + 1 / 2) / 2)  # drawn


def test_of_several_best_ones_each_is_right():
    assert choices.best_within([1.0, 2, 3], [5.0, 5, 1], ["a"] * 3) == (0.0, pytest.approx(2 / 3), 1)
    assert choices.best_within([3.0, 3, 1], [5.0, 4, 5], ["a"] * 3).share == 0.5


def test_a_missing_name_is_a_group_of_its_own():
    assert [list(rows) for rows in choices.members(["a", None, "b", "a"])] == [[0, 3], [1], [2]]


def test_no_best_one_without_a_choice(caplog):
    assert choices.best_within([1.0, 2], [1.0, 2], ["a", "b"]) is None
    assert "best of each prompt: null" in caplog.text


@given(st.lists(st.sampled_from("abc")), st.booleans())
def test_the_members_of_groups_are_all_rows_once_in_order(groups, numbers):
    names = [ord(name) for name in groups] if numbers else groups
    found = list(choices.members(names))
    assert sorted(row for rows in found for row in rows) == list(range(len(groups)))
    assert all(len({groups[row] for row in rows}) == 1 and list(rows) == sorted(rows) for rows in found)
    assert len(found) == len(set(groups))
