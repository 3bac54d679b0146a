"""What a head in training is shown: tokens thinned in order, the same batches from the store as from memory."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from data.feature_store.shuffle import Shuffle
from finetune.heads.examples import Examples, kept_tokens
from m3agiqa.head.model import build_head
from tests.stored import random_store


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    share=st.sampled_from([0.0, 0.5, 0.99]),
    seed=st.integers(0, 99),
)
def test_thinning_keeps_some_tokens_in_order(lengths, share, seed):
    places, mask = kept_tokens(np.array(lengths), share, np.random.default_rng(seed))
    assert mask.any(axis=0).all()  # no column of padding alone
    for row, row_mask, length in zip(places, mask, lengths, strict=True):
        tokens = row[row_mask].tolist()
        assert tokens == sorted(set(tokens))
        assert 1 <= len(tokens) <= length
        assert row.max() < length  # padding, too, is read from the sequence itself
        if share == 0:
            assert tokens == list(range(length))


def test_half_of_the_tokens_are_kept_on_average():
    _, mask = kept_tokens(np.full(400, 50), 0.5, np.random.default_rng(0))
    assert mask.sum() / (400 * 50) == pytest.approx(0.5, abs=0.02)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return random_store(tmp_path_factory.mktemp("store"), [3 + number % 7 for number in range(30)], 6)


def mos_of(store):
    return {image_id: number / 10 for number, image_id in enumerate(store.ids)}


class InMemory(Examples):
    """As on a GPU with room for all states."""

    def _room(self, tokens):
        return torch.empty(tokens, 6)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_states_that_are_held_are_those_of_the_store(store, share):
    pairs = [kind(store, mos_of(store), "cpu").batches(7, Shuffle(3, 2), share=share) for kind in (Examples, InMemory)]
    seen = []
    for read, held in zip(*pairs, strict=True):
        for name in ("rows", "mask", "moments", "mos"):
            assert torch.equal(getattr(read, name), getattr(held, name)), name
        assert torch.equal(read.states[read.mask], held.states[held.mask])
        seen += read.rows.tolist()
    assert sorted(seen) == list(range(30))


def test_an_epoch_draws_other_tokens_than_the_one_before_and_the_same_again(store):
    examples = Examples(store, mos_of(store), "cpu")
    first, again, other = (
        [step.states for step in examples.batches(30, Shuffle(3, epoch), share=0.5)] for epoch in (1, 1, 2)
    )
    assert torch.equal(first[0], again[0])
    assert first[0].shape != other[0].shape or not torch.equal(first[0], other[0])


@pytest.mark.parametrize("kind", [Examples, InMemory])
def test_a_head_scores_whole_examples_as_it_scores_their_states(store, kind):
    """Whose statistics it works out itself."""
    head = build_head("xlstm", 6, seed=0, dim=8, blocks=2, heads=2, hidden=8).eval()
    torch.nn.init.normal_(head.regressor[-1].weight)
    examples = kind(store, mos_of(store), "cpu")
    for batch, step in zip(store.batches(store.ids, 8), examples.batches(8), strict=True):
        assert [store.ids[row] for row in step.rows] == list(batch.image_ids)
        assert step.mos.tolist() == pytest.approx([mos_of(store)[image_id] for image_id in batch.image_ids])
        with torch.no_grad():
            mine = head.score(step.states, step.mask, step.moments)
            torch.testing.assert_close(mine, head(*batch.tensors), rtol=1e-5, atol=1e-5)
