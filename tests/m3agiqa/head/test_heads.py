"""The heads: no stack sees padding or what is to come, every weight learns, a saved head predicts the same."""

import json

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from m3agiqa.errors import InputError
from m3agiqa.head.model import build_head, load_head, save_head
from m3agiqa.head.stacks import STACKS

SMALL = {
    "xlstm": {"dim": 16, "blocks": 3, "slstm_at": [1], "heads": 2, "hidden": 8},
    "mlp": {"dim": 16},
    "statistics": {"dim": 16},
    "lstm": {"dim": 16, "blocks": 2},
    "gru": {"dim": 16, "blocks": 1},
    "transformer": {"dim": 16, "blocks": 2, "heads": 2},
    "mamba": {"dim": 16, "blocks": 1, "heads": 2, "state": 4},
}


ORDERLESS = ("mlp", "statistics")


def stirred(kind, seed=0, **settings):
    """A head whose zero weights are not zero, so that every part shows in the prediction."""
    head = build_head(kind, 6, seed=seed, **SMALL[kind], **settings).eval()
    with torch.no_grad():
        for weight in head.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    return head


@pytest.mark.parametrize("kind", STACKS)
@settings(deadline=None, max_examples=15)
@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4), junk=st.sampled_from([0.0, 1.0, -1e3]))
def test_padding_changes_nothing(kind, lengths, junk):
    head = stirred(kind)
    sequences = [torch.randn(length, 6) for length in lengths]
    states = torch.full((len(lengths), max(lengths), 6), junk)
    for row, sequence in zip(states, sequences, strict=True):
        row[: len(sequence)] = sequence
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    description = mask & (torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None] // 2)
    with torch.no_grad():
        together = head(states, mask, description)
        alone = torch.cat(
            [
                head(s[None], torch.ones(1, len(s), dtype=torch.bool), torch.arange(len(s))[None] >= len(s) // 2)
                for s in sequences
            ]
        )
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", STACKS)
def test_every_head_with_a_stack_sees_the_order(kind):
    states, mask = torch.randn(1, 12, 6), torch.ones(1, 12, dtype=torch.bool)
    head = stirred(kind)
    moved = (head(states, mask, mask) - head(states.flip(1), mask, mask)).abs().item()
    assert moved < 1e-5 if kind in ORDERLESS else moved > 1e-3


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", STACKS)
def test_no_token_sees_what_is_to_come(kind, training):
    """Training and inference take different paths in torch's and transformers' layers."""
    stack = stirred(kind).stack.train(training)
    for module in stack.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.MultiheadAttention | torch.nn.RNNBase):
            module.dropout = 0.0
    x = torch.randn(2, 40, 16)
    other = x.clone()
    other[:, 25:] = torch.randn(2, 15, 16)
    with torch.set_grad_enabled(training):
        whole, changed, cut = stack(x), stack(other), stack(x[:, :25])
    torch.testing.assert_close(changed[:, :25], whole[:, :25])
    torch.testing.assert_close(cut, whole[:, :25])
    if kind not in ORDERLESS:
        late = stack(torch.cat((torch.randn(2, 1, 16), x[:, 1:]), dim=1))
        assert ((late - whole)[:, 1:].abs().amax(dim=2) > 0).any(dim=1).all()  # but what has been


@pytest.mark.parametrize("kind", STACKS)
def test_every_weight_learns_and_no_padding_does(kind):
    head = stirred(kind)
    states = torch.randn(3, 9, 6, requires_grad=True)
    mask = torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    head(states, mask, mask).square().sum().backward()
    without = [name for name, weight in head.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert without == (["project.weight", "project.bias"] if kind == "statistics" else [])
    assert not states.grad[~mask].any()
    assert (states.grad[mask].abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("kind", STACKS)
def test_the_same_seed_makes_the_same_training_step(kind):
    mask, states = torch.ones(2, 30, dtype=torch.bool), torch.randn(2, 30, 6)

    def gradients():
        head = build_head(kind, 6, seed=4, **SMALL[kind]).train()
        torch.nn.init.ones_(head.regressor[-1].weight)
        torch.manual_seed(1)
        head(states, mask, mask).sum().backward()
        return [weight.grad for weight in head.parameters()]

    assert all(torch.equal(first, second) for first, second in zip(gradients(), gradients(), strict=True))


def test_the_mamba_stack_does_not_depend_on_how_the_scan_is_cut(monkeypatch):
    stack, x = stirred("mamba").stack, torch.randn(2, 40, 16)
    mixer = stack.model.layers[0].mixer
    with torch.no_grad():
        cut = stack(x)
        monkeypatch.setattr(mixer, "chunk_size", 64)
        torch.testing.assert_close(stack(x), cut, rtol=1e-5, atol=1e-5)


def test_the_layers_of_the_transformer_start_apart():
    first, second = stirred("transformer").stack.layers
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


def test_without_its_shortcut_a_head_knows_nothing_but_what_its_stack_read():
    states, mask = torch.randn(1, 12, 6), torch.ones(1, 12, dtype=torch.bool)
    head, other = stirred("lstm", shortcut=False), torch.randn(1, 24)
    assert not any("shortcut" in name for name in head.state_dict())
    assert torch.equal(head.score(states, mask, other), head(states, mask, mask))
    with_it = stirred("lstm")
    assert not torch.equal(with_it.score(states, mask, other), with_it(states, mask, mask))


def test_the_statistics_alone_know_no_token():
    states, mask, moments = torch.randn(2, 12, 6), torch.ones(2, 12, dtype=torch.bool), torch.randn(1, 24)
    first, second = stirred("statistics").score(states, mask, moments.expand(2, 24))
    torch.testing.assert_close(first, second)


def test_a_saved_head_keeps_what_it_was_built_with(tmp_path):
    head = stirred("xlstm", shortcut=False, standardise=[])
    save_head(head, tmp_path)
    loaded = load_head(tmp_path)
    assert (loaded.shortcut, loaded.standardise) == (None, frozenset())


def test_what_stands_in_the_description_weighs_for_itself():
    states, mask = torch.randn(1, 12, 6), torch.ones(1, 12, dtype=torch.bool)
    first, second = torch.arange(12)[None] < 6, torch.arange(12)[None] >= 6
    head = stirred("mlp")
    assert (head(states, mask, first) - head(states, mask, second)).abs().item() > 1e-3
    torch.testing.assert_close(head(states, mask, first), head(states.roll(6, 1), mask, second))


def test_longer_sequences_than_ever_before_stay_causal():
    stack = stirred("xlstm").stack
    short, long = torch.randn(1, 5, 16), torch.randn(1, 40, 16)
    long[:, :5] = short
    with torch.no_grad():
        expected = stack(short)
        torch.testing.assert_close(stack(long)[:, :5], expected)
        torch.testing.assert_close(stack(short), expected)
    assert not any("causal_mask" in name for name in stack.state_dict())


@pytest.mark.parametrize("kind", STACKS)
def test_a_saved_head_predicts_the_same(tmp_path, kind):
    head = stirred(kind)
    save_head(head, tmp_path)
    first = (tmp_path / "head.safetensors").read_bytes()
    loaded = load_head(tmp_path)
    states, mask = torch.randn(2, 7, 6).to(torch.bfloat16), torch.ones(2, 7, dtype=torch.bool)
    assert torch.equal(loaded(states, mask, mask), head(states, mask, mask))
    assert not loaded.training
    save_head(loaded, tmp_path)
    assert (tmp_path / "head.safetensors").read_bytes() == first
    assert json.loads((tmp_path / "head.json").read_text())["kind"] == kind


def test_a_seed_makes_a_head_and_leaves_the_global_stream_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    heads = [build_head("xlstm", 6, seed=seed, **SMALL["xlstm"]) for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(3), expected)
    weights = [head.project.weight for head in heads]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("kind", "setting", "message"),
    [
        ("perceiver", {}, "unknown kind 'perceiver'; known are xlstm, mlp, statistics, lstm, gru, transformer, mamba"),
        ("xlstm", {"width": 3}, "xlstm takes other settings .*width"),
        ("xlstm", {"dim": 30}, "dim = 30 must be a multiple of 4 and of heads = 2"),
        ("xlstm", {"slstm_at": [3]}, "slstm_at = 3 names no block; they are counted from 0, and blocks = 3"),
        ("mlp", {"blocks": 2}, "mlp takes other settings .*blocks"),
        ("transformer", {"heads": 3}, "dim = 16 must be a multiple of heads = 3"),
        ("mamba", {"heads": 3}, "twice dim = 16 must be a multiple of heads = 3"),
    ],
)
def test_bad_settings_are_named(kind, setting, message):
    with pytest.raises(InputError, match=message):
        build_head(kind, 6, seed=0, **(SMALL.get(kind, {}) | setting))


def test_no_head_is_refused(tmp_path):
    with pytest.raises(InputError, match="run the train stage"):
        load_head(tmp_path)
