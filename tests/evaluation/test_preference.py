"""The spread that tells how sure a pair's order is: found again where it is known, and honest on new pairs."""

import numpy as np
import pytest

from evaluation.preference import LARGEST_SPREAD, judged, pairs_of, spread_of
from m3agiqa.ranking import preferred

RNG = np.random.default_rng(5)


def panel(spread: float, count: int = 600):
    """Scores, and what people think: apart from them by a normal error of that spread."""
    scores = RNG.normal(2.5, 1, count)
    return scores, scores + spread * RNG.normal(size=count)


@pytest.mark.parametrize("spread", [0.2, 0.5, 1.5])
@pytest.mark.parametrize(("prompts", "count"), [(600, 3600), (2400, 1000 * 999 / 2)])
def test_a_known_spread_is_found_again(spread, prompts, count):
    scores, mos = panel(spread, count=2400)
    pairs = pairs_of(scores, mos, np.arange(2400) % prompts)
    assert pairs.within_prompts == (prompts < 2400)
    assert len(pairs.ahead) == count
    assert spread_of(pairs) == pytest.approx(spread, rel=0.15)


def test_the_probabilities_are_calibrated_on_new_pairs():
    spread = spread_of(pairs_of(*panel(0.7), ["one prompt"] * 600))
    scores, mos = panel(0.7)
    said, true = [], []
    for first, second in RNG.integers(0, 600, (20000, 2)):
        if first != second:
            said.append(preferred(scores[first], scores[second], spread))
            true.append(mos[first] > mos[second])
    bins = np.digitize(said, np.arange(0.1, 1, 0.1))
    for level in range(10):
        assert np.mean(np.array(true)[bins == level]) == pytest.approx(np.mean(np.array(said)[bins == level]), abs=0.06)


def test_what_it_is_worth():
    scores, mos = panel(0.5)
    pairs = pairs_of(scores, mos, ["one prompt"] * 600)
    found = judged(pairs, 0.5)
    assert (found["pairs"], found["within_prompts"]) == (600 * 599 / 2, True)
    assert found["right"] > 0.9
    assert found["brier"] < 0.25
    backwards = judged(pairs_of(-scores, mos, ["one prompt"] * 600), 0.5)
    assert (backwards["told"], backwards["right"]) == (found["told"], pytest.approx(1 - found["right"]))
    assert backwards["brier"] > 0.25
    assert judged(pairs, LARGEST_SPREAD) == {**found, "brier": pytest.approx(0.25, abs=1e-3), "told": 0, "right": None}


def test_scores_that_always_or_never_tell_have_no_likeliest_spread():
    mos = np.arange(20.0)
    assert spread_of(pairs_of(mos, mos, ["a"] * 20)) is None
    assert spread_of(pairs_of(-mos, mos, ["a"] * 20)) is None


def test_a_few_pairs_of_one_prompt_do_not_decide():
    """Two of 120 images share a prompt, and happen to be in order: that tells nothing of how sure an order is."""
    scores, mos = panel(0.5, count=120)
    mos[:2] = scores[:2]
    pairs = pairs_of(scores, mos, ["one", "one", *map(str, range(118))])
    assert not pairs.within_prompts
    assert spread_of(pairs) == pytest.approx(0.5, rel=0.25)


def test_too_little_to_say():
    assert spread_of(pairs_of(np.arange(14.0), np.arange(14.0) % 5, ["a"] * 14)) is None  # 91 pairs at most
    assert spread_of(pairs_of([1.0], [2.0], ["a"])) is None
    nobody_cares = pairs_of([1.0, 2], [3.0, 3], ["a", "a"])
    assert (len(nobody_cares.ahead), judged(nobody_cares, 0.5)) == (0, None)


def test_of_a_large_group_some_pairs_do():
    scores, mos = panel(0.5, count=4000)
    pairs = pairs_of(scores, mos, ["a"] * 4000)
    assert len(pairs.ahead) == 1000 * 999 / 2
    assert spread_of(pairs) == pytest.approx(0.5, rel=0.15)
