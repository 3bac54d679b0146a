"""Split conformal intervals: they hold what they promise, and say when they cannot."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.conformal import coverage, half_width, quantile


@given(st.lists(st.floats(0, 5), min_size=9, max_size=60), st.sampled_from([0.5, 0.8, 0.9]))
def test_it_lies_between_the_two_errors_that_hold_too_little_and_too_much(errors, level):
    half, errors = half_width(np.zeros(len(errors)), errors, np.arange(len(errors)), level), np.sort(errors)
    rank = level * (len(errors) + 1) - 1e-9
    assert errors[int(rank) - 1] <= half * (1 + 1e-12)
    assert half <= errors[min(math.ceil(rank), len(errors)) - 1]


def test_of_two_neighbours_it_is_the_geometric_mean():
    half = half_width(np.zeros(12), np.arange(1.0, 13), np.arange(12))
    assert half == pytest.approx(11**0.3 * 12**0.7)  # 0.9 of 13 is 11.7
    assert half_width(np.zeros(12), [0.0] * 11 + [1], np.arange(12)) < 1e-3  # and errors of 0 are no trouble
    assert half_width(np.zeros(12), [0.0] * 12, np.arange(12)) == 0


def test_of_a_prompt_each_image_counts_alike():
    """Eleven prompts that err by 1, and one by 1, 2 or 4: the largest of twelve draws is each of these as often."""
    errors, clusters = [1.0] * 11 + [1.0, 2.0, 4.0], [*range(11), 11, 11, 11]
    assert half_width(np.zeros(14), errors, clusters) == pytest.approx(2**0.7, rel=0.03)
    assert half_width(np.zeros(14), errors, clusters) == half_width(np.zeros(14), errors, clusters)


@pytest.mark.parametrize("spread", ["normal", "exponential", "cauchy"])
def test_new_images_are_covered_whatever_the_errors_look_like(spread):
    random = np.random.default_rng(0)
    draw = {"normal": random.normal, "exponential": random.exponential, "cauchy": random.standard_cauchy}[spread]
    covered = []
    for _ in range(2000):
        errors = np.array([draw() for _ in range(20)])
        covered.append(coverage(np.zeros(1), errors[19:], half_width(np.zeros(19), errors[:19], np.arange(19))))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.02)  # exactly 18 of 20


def share_inside(level: float, prompts: int = 99, images: int = 6) -> tuple[float, float]:
    """How often a new image is inside, the images of a prompt alike but for a tenth: by prompt, and by image."""
    random = np.random.default_rng(1)

    def draw(count: int) -> np.ndarray:
        return np.repeat(random.exponential(size=count), images) * random.uniform(0.9, 1.1, count * images)

    inside = []
    for _ in range(400):
        errors, new = draw(prompts), draw(20)
        zeros, clusters = np.zeros(len(errors)), np.repeat(np.arange(prompts), images)
        halves = half_width(zeros, errors, clusters, level), quantile(errors, level)
        inside.append([coverage(np.zeros(len(new)), new, half) for half in halves])
    by_prompt, by_image = np.mean(inside, axis=0)
    return by_prompt, by_image


@pytest.mark.parametrize("level", [0.8, 0.9, 0.97])
def test_new_prompts_are_covered_as_often_as_promised_and_no_more_often(level):
    """Within a point: an interval of 0.97 does not pass as one of 0.9, nor one of 0.9 as one of 0.8."""
    by_prompt, _ = share_inside(level)
    assert by_prompt == pytest.approx(level, abs=0.01)


def test_images_of_a_prompt_that_fail_together_do_not_make_it_narrower():
    by_prompt, by_image = share_inside(0.9, prompts=19)
    assert by_prompt == pytest.approx(0.9, abs=0.015)
    assert by_image < 0.895


def test_a_prompt_with_many_images_counts_once():
    errors, clusters = [*range(1, 11), *[99.0] * 50], [*range(10), *[10] * 50]
    assert quantile(errors, 0.5, clusters) == pytest.approx(6)
    assert quantile(errors, 0.5) == 99


def test_too_few_images_promise_nothing():
    assert half_width(np.zeros(8), np.ones(8), np.arange(8)) is None
    assert half_width(np.zeros(9), np.arange(9), np.arange(9)) == 8
    assert half_width(np.zeros(80), np.ones(80), np.arange(80) % 8) is None  # 8 prompts, however many images
    assert coverage([1.0], [5.0], None) == 1
    assert coverage([], [], 1.0) is None


def test_many_prompts_are_drawn_a_few_at_a_time():
    """All draws at once would be 160 MB."""
    errors = np.random.default_rng(0).exponential(size=40_000)
    tracemalloc.start()
    half = quantile(errors, 0.9, np.arange(40_000) // 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert half == pytest.approx(math.log(10), rel=0.02)
    assert peak < 100e6


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1])
def test_what_is_no_error_is_refused(value):
    with pytest.raises(ValueError, match="finite, and not below 0"):
        quantile([1.0, value], 0.5)
