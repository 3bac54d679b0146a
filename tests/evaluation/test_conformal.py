"""Split conformal intervals: they hold what they promise, and say when they cannot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.conformal import coverage, half_width, quantile


@given(st.lists(st.floats(0, 5), min_size=9, max_size=60), st.sampled_from([0.5, 0.8, 0.9]))
def test_at_least_the_promised_share_of_the_calibration_images_is_inside(errors, level):
    zeros = np.zeros(len(errors))
    half = half_width(zeros, errors, np.arange(len(errors)), level)
    assert coverage(zeros, errors, half) >= level
    assert np.mean(np.array(errors) < half) < level + 1 / len(errors)  # no wider than it must be
    assert half in [abs(error) for error in errors]


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
    for _ in range(1000):
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
    assert by_prompt == pytest.approx(level + 0.003, abs=0.01)  # of 100 prompts, one more than asked for


def test_images_of_a_prompt_that_fail_together_do_not_make_it_narrower():
    by_prompt, by_image = share_inside(0.9, prompts=19)
    assert by_prompt == pytest.approx(0.91, abs=0.01)
    assert by_image < 0.9


def test_a_prompt_with_many_images_counts_once():
    errors, clusters = [*range(1, 11), *[99.0] * 50], [*range(10), *[10] * 50]
    assert quantile(errors, 0.5, clusters) == 6
    assert quantile(errors, 0.5) == 99


def test_too_few_images_promise_nothing():
    assert half_width(np.zeros(8), np.ones(8), np.arange(8)) is None
    assert half_width(np.zeros(9), np.arange(9), np.arange(9)) == 8
    assert half_width(np.zeros(80), np.ones(80), np.arange(80) % 8) is None  # 8 prompts, however many images
    assert coverage([1.0], [5.0], None) == 1
    assert coverage([], [], 1.0) is None


def test_what_is_not_finite_is_an_error():
    with pytest.raises(ValueError, match="finite"):
        quantile([1.0, np.nan], 0.5)
