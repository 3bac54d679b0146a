"""Ranks and probabilities of candidates, against drawing people's opinions many times."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from m3agiqa.ranking import SURE, best, preferred, ranks

SCORES = st.floats(0, 5)
SPREADS = st.floats(0.05, 5)


@given(SCORES, SCORES, SPREADS)
def test_swapped_it_is_one_minus_that(first, second, spread):
    found = preferred(first, second, spread)
    assert 0 <= found <= 1
    assert preferred(second, first, spread) == 1 - found
    assert (found > 0.5) <= (first > second) <= (found >= 0.5)


@given(st.lists(SCORES, min_size=1, max_size=9), SPREADS)
def test_one_of_them_is_the_best(scores, spread):
    found = best(scores, spread)
    assert sum(found) == pytest.approx(1)
    assert min(found) >= 0
    ordered = [share for _, share in sorted(zip(scores, found, strict=True))]
    assert ordered == pytest.approx(sorted(ordered), abs=1e-9)  # a higher score is as likely, or likelier


@given(SCORES, SCORES, SPREADS)
def test_of_two_the_best_is_the_preferred_one(first, second, spread):
    assert best([first, second], spread)[0] == pytest.approx(preferred(first, second, spread), abs=1e-9)


def test_the_probabilities_are_those_of_opinions_drawn():
    scores, spread = np.array([1.0, 1.5, 1.6, 2.4]), 0.5
    thought = scores + spread * np.random.default_rng(0).normal(size=(200_000, 4))
    drawn = np.bincount(thought.argmax(axis=1), minlength=4) / len(thought)
    assert best(list(scores), spread) == pytest.approx(drawn, abs=0.005)
    assert preferred(1.6, 1.0, spread) == pytest.approx(np.mean(thought[:, 2] > thought[:, 0]), abs=0.005)


def test_a_thousand_candidates_and_more():
    assert best([1.0] * 2500, 0.5) == pytest.approx([1 / 2500] * 2500)
    ahead = best([9.0] + [1.0] * 2500, 0.5)
    assert ahead[0] == pytest.approx(1)


@given(st.lists(SCORES, min_size=1, max_size=12), SPREADS)
def test_ranks_count_those_that_are_surely_preferred(scores, spread):
    by_hand = [1 + sum(preferred(other, score, spread) >= SURE for other in scores) for score in scores]
    found = ranks(scores, spread)
    assert found == by_hand
    order = sorted(range(len(scores)), key=lambda row: -scores[row])
    assert [found[row] for row in order] == sorted(found)  # a higher score never has a worse rank
    assert min(found) == 1


def test_what_cannot_be_told_apart_is_tied():
    assert ranks([3.0, 2.9, 1.0], 0.5) == [1, 1, 3]
    assert ranks([3.0, 2.9, 1.0], 50) == [1, 1, 1]
    assert ranks([], 0.5) == []
