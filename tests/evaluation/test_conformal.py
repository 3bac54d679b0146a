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


def test_images_of_a_prompt_that_fail_together_do_not_make_it_narrower():
    random = np.random.default_rng(1)

    def draw(prompts: int) -> tuple[np.ndarray, np.ndarray]:
        """Six images a prompt, alike but for a tenth."""
        return (np.repeat(random.exponential(size=prompts), 6) * random.uniform(0.9, 1.1, prompts * 6)), np.repeat(
            np.arange(prompts), 6
        )

    covered, blind = [], []
    for _ in range(1000):
        (errors, clusters), (new, _) = draw(19), draw(20)
        covered.append(coverage(np.zeros(len(new)), new, half_width(np.zeros(len(errors)), errors, clusters)))
        blind.append(coverage(np.zeros(len(new)), new, quantile(errors, 0.9)))
    assert np.mean(covered) >= 0.9
    assert np.mean(blind) < 0.9


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
