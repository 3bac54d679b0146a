"""The losses: what each is blind to, slopes where they are needed, values worked out by hand."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from evaluation.metrics import plcc
from finetune.heads.losses import LOSSES, loss, on_the_mos_scale

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
