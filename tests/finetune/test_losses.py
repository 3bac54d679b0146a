"""The losses: what each is blind to, slopes where they are needed, values worked out by hand."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from evaluation.metrics import plcc
from finetune.heads import pairs
from finetune.heads.losses import LOSSES, loss, on_the_mos_scale, value

MOS = torch.tensor([1.0, 2.0, 2.5, 4.0, 4.5])
PREDICTED = torch.tensor([1.5, 1.0, 3.0, 3.5, 4.0])
ONE = torch.ones(())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", (0.25 + 1 + 0.25 + 0.25 + 0.25) / 5 / 4),
        ("huber", (0.25 + 1 + 0.25 + 0.25 + 0.25) / 5 / 4 / 2),  # no error is larger than the spread, 2
        ("plcc", (1 - plcc(PREDICTED, MOS)) / 2),
    ],
)
def test_values_by_hand(name, expected):
    assert loss({name: 1.0}, PREDICTED, MOS, 2 * ONE).item() == pytest.approx(expected, abs=1e-5)


def test_rank_by_hand():
    predicted, mos = torch.tensor([0.0, 2.0, 1.0]), torch.tensor([1.0, 1.0, 3.0])  # one tie, pairs (2, 0) and (2, 1)
    expected = (np.log1p(np.exp(-1.0)) + np.log1p(np.exp(1.0))) / 2
    assert loss({"rank": 1.0}, predicted, mos, ONE).item() == pytest.approx(expected, abs=1e-6)


def test_an_outlier_pulls_on_huber_no_harder_than_one_spread():
    def pull(name, error):
        predicted = (MOS + torch.tensor([error, 0, 0, 0, 0])).requires_grad_()
        loss({name: 1.0}, predicted, MOS, ONE).backward()
        return predicted.grad[0].item()

    assert pull("huber", 100.0) == pytest.approx(pull("huber", 1.0)) == pytest.approx(pull("mse", 0.5))
    assert pull("mse", 100.0) == pytest.approx(100 * pull("mse", 1.0))


@settings(deadline=None, max_examples=30)
@given(
    scores=st.lists(st.floats(-2, 2, width=32), min_size=2, max_size=8),
    shift=st.floats(-3, 3),
    stretch=st.floats(0.5, 2),
)
def test_what_each_loss_is_blind_to(scores, shift, stretch):
    predicted = torch.tensor(scores) + 0.01 * torch.arange(len(scores))
    mos = torch.linspace(0, 5, len(scores))
    moved = predicted + shift
    for name in ("plcc", "rank"):
        torch.testing.assert_close(
            loss({name: 1.0}, moved, mos, ONE), loss({name: 1.0}, predicted, mos, ONE), rtol=1e-3, atol=1e-4
        )
    if predicted.std() > 0.05:
        torch.testing.assert_close(
            loss({"plcc": 1.0}, stretch * predicted, mos, ONE),
            loss({"plcc": 1.0}, predicted, mos, ONE),
            rtol=0,
            atol=2e-3,
        )


@settings(deadline=None, max_examples=20)
@given(spread=st.floats(0.1, 100))
def test_units_of_the_mos_do_not_matter(spread):
    for name in LOSSES:
        torch.testing.assert_close(
            loss({name: 1.0}, spread * PREDICTED, spread * MOS, spread * ONE), loss({name: 1.0}, PREDICTED, MOS, ONE)
        )


@pytest.mark.parametrize("name", LOSSES)
def test_a_head_that_starts_with_equal_predictions_is_told_where_to_go(name):
    predicted = torch.full((5,), MOS.mean().item(), requires_grad=True)
    loss({name: 1.0}, predicted, MOS, ONE).backward()
    assert torch.isfinite(predicted.grad).all()
    assert predicted.grad[0] > 0 > predicted.grad[-1]  # step down where the MOS is low


@pytest.mark.parametrize("name", ["plcc", "rank"])
@pytest.mark.parametrize(("predicted", "mos"), [([2.0], [3.0]), ([1.0, 2.0], [3.0, 3.0])])
def test_a_batch_in_which_nothing_can_be_ranked_has_no_slope(name, predicted, mos):
    predicted = torch.tensor(predicted, requires_grad=True)
    value = loss({name: 1.0}, predicted, torch.tensor(mos), ONE)
    value.backward()
    assert torch.isfinite(value)
    assert not predicted.grad.any()


def test_a_mix_is_the_weighted_sum_and_zero_weights_are_not_worked_out():
    mix = loss({"mse": 0.5, "rank": 0.25, "plcc": 0.0}, PREDICTED, MOS, ONE)
    parts = [loss({name: 1.0}, PREDICTED, MOS, ONE) for name in ("mse", "rank")]
    torch.testing.assert_close(mix, 0.5 * parts[0] + 0.25 * parts[1])
    nothing = torch.tensor([float("nan")])
    assert loss({"mse": 0.0, "huber": 1.0}, ONE[None], ONE[None], ONE).item() == 0
    assert torch.isnan(loss({"mse": 1.0}, nothing, nothing, ONE))
    assert on_the_mos_scale({"huber": 0.1, "plcc": 1.0})
    assert not on_the_mos_scale({"mse": 0.0, "plcc": 1.0})


@settings(deadline=None, max_examples=60)
@given(
    images=st.integers(1, 40),
    seed=st.integers(0, 999),
    spread=st.sampled_from([0.0, 1e-3, 1.0, 30.0]),
    decimals=st.sampled_from([0, 1, 6]),
    block=st.sampled_from([1, 3, 64]),
)
def test_the_rank_loss_without_pairs_is_that_over_the_pairs(images, seed, spread, decimals, block):
    """Ties of the MOS that cross blocks too, and predictions that hardly or widely differ."""
    random = np.random.default_rng(seed)
    mos, predicted = random.uniform(0, 5, images).round(decimals), 3 + random.normal(0, spread, images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "BLOCK", block)
        found = pairs.rank_loss(predicted, mos)
    terms = [
        np.logaddexp(0, predicted[j] - predicted[i]) for i in range(images) for j in range(images) if mos[i] > mos[j]
    ]
    assert found == pytest.approx(np.mean(terms) if terms else 0, rel=1e-11)


def test_the_value_of_a_mix_is_that_of_the_loss():
    mix = {"mse": 0.5, "huber": 0.0, "plcc": 0.25, "rank": 1.0}
    assert value(mix, PREDICTED, MOS, 2 * ONE) == pytest.approx(loss(mix, PREDICTED, MOS, 2 * ONE).item(), rel=1e-6)
    assert value({"rank": 1.0}, PREDICTED, MOS, ONE) == pytest.approx(loss({"rank": 1.0}, PREDICTED, MOS, ONE).item())


def test_a_hundred_thousand_images_can_be_ranked():
    """As pairs they would be 10,000,000,000 numbers."""
    random = torch.Generator().manual_seed(0)
    mos = torch.rand(100_000, generator=random) * 5
    loss_of_all = value({"rank": 1.0}, mos + torch.randn(len(mos), generator=random), mos, ONE)
    some = slice(0, 3000)
    noisy = mos[some] + torch.randn(3000, generator=random)
    assert loss_of_all == pytest.approx(loss({"rank": 1.0}, noisy, mos[some], ONE).item(), rel=0.05)
