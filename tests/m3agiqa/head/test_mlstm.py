"""The mLSTM in chunks is xlstm's parallel form: outputs and gradients are the same, memory grows with the length."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from xlstm.blocks.mlstm.backends import parallel_stabilized_simple

from m3agiqa.head import mlstm
from m3agiqa.head.stacks import xlstm_stack

TINY = 1e-6  # of gradients that are nothing: a forget gate that has nothing to forget


def numbers(batch, heads, length, width, dtype=torch.float64, scale=1.0, seed=0):
    """Queries, keys and values (B, N, T, H), gates (B, N, T, 1): some of the denominators are 1, some are not."""
    random = torch.Generator().manual_seed(seed)
    parts = [torch.randn(batch, heads, length, size, generator=random, dtype=dtype) for size in (width,) * 3 + (1, 1)]
    return [*parts[:3], scale * parts[3], scale * parts[4] + 4]


def outputs_and_gradients(form, inputs):
    leaves = [each.clone().requires_grad_() for each in inputs]
    h = form(*leaves)
    weights = torch.randn(h.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(h)
    return [h.detach(), *torch.autograd.grad((h * weights).sum(), leaves)]


def same(ours, theirs, near):
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine.double() - other.double()).abs().max() <= near * other.double().abs().max() + TINY


@settings(deadline=None, max_examples=20)
@given(
    length=st.sampled_from([1, 2, 63, 64, 65, 128, 150]),
    scale=st.sampled_from([0.1, 1.0, 8.0]),  # 8: gates that shut, and gates that open wide
    seed=st.integers(0, 99),
)
def test_the_chunks_are_the_parallel_form(length, scale, seed):
    inputs = numbers(2, 2, length, 4, scale=scale, seed=seed)
    ours = outputs_and_gradients(mlstm.chunkwise, inputs)
    same(ours, outputs_and_gradients(parallel_stabilized_simple, inputs), 1e-5)  # the epsilon of the denominators


@pytest.mark.parametrize("length", [40, 200])
def test_in_single_precision_too(length):
    inputs = numbers(2, 2, length, 16, torch.float32)
    exact = outputs_and_gradients(parallel_stabilized_simple, [each.double() for each in inputs])
    same(outputs_and_gradients(mlstm.chunkwise, inputs), exact, 1e-5)


def test_sixteen_bits_in_and_out_are_summed_in_thirty_two():
    inputs = [each.bfloat16() for each in numbers(1, 2, 300, 16, torch.float32)]
    exact = parallel_stabilized_simple(*(each.double() for each in inputs))
    ours = mlstm.chunkwise(*inputs)
    assert ours.dtype == torch.bfloat16
    same([ours], [exact], 2**-8)


def test_the_gradient_is_the_slope():
    inputs = [each.requires_grad_() for each in numbers(1, 1, 5, 2)]
    assert torch.autograd.gradcheck(mlstm.chunkwise, inputs, eps=1e-6, atol=1e-5)


def test_no_chunk_sees_what_is_to_come_and_no_padding_is_seen():
    inputs = numbers(2, 2, 150, 4)
    other = [torch.cat((each[:, :, :100], torch.full_like(each[:, :, 100:], 7)), dim=2) for each in inputs]
    whole = mlstm.chunkwise(*inputs)[:, :, :100]
    torch.testing.assert_close(mlstm.chunkwise(*other)[:, :, :100], whole, rtol=0, atol=0)
    torch.testing.assert_close(mlstm.chunkwise(*(each[:, :, :100] for each in inputs)), whole)
    ours = outputs_and_gradients(lambda *each: mlstm.chunkwise(*each)[:, :, :100], inputs)
    assert not any(gradient[:, :, 100:].any() for gradient in ours[1:])


def test_the_same_bits_twice():
    inputs = numbers(2, 2, 150, 8, torch.float32)
    first, second = (outputs_and_gradients(mlstm.chunkwise, inputs) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_the_stack_is_xlstms_with_its_parallel_form():
    torch.manual_seed(0)
    stack = xlstm_stack(16, blocks=2, slstm_at=[], heads=2, dropout=0.0).double()
    x, weights = torch.randn(2, 2, 90, 16).double()

    def found():
        return [stack(x).detach(), *torch.autograd.grad((stack(x) * weights).sum(), list(stack.parameters()))]

    ours = found()
    for module in stack.modules():
        if hasattr(module, "backend_fn"):
            assert module.backend_fn is mlstm.chunkwise
            module.backend_fn = parallel_stabilized_simple
            module.causal_mask = torch.ones(90, 90, dtype=torch.bool).tril()
    same(ours, found(), 1e-5)


def kept(length):
    """Bytes that a forward pass leaves for the backward pass."""
    tensors = {}

    def keep(tensor):
        tensors[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    inputs = [each.requires_grad_() for each in numbers(1, 2, length, 8, torch.float32)]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        h = mlstm.chunkwise(*inputs)
    assert h.shape == (1, 2, length, 8)
    return sum(storage.nbytes() for storage in tensors.values())


def test_twice_the_tokens_are_twice_the_memory():
    assert kept(1024) < 2.1 * kept(512)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("length", [345, 1400])
def test_on_a_gpu_too(length):
    inputs = [each.cuda() for each in numbers(2, 2, length, 32, torch.float32)]
    exact = outputs_and_gradients(parallel_stabilized_simple, [each.double() for each in inputs])
    ours = outputs_and_gradients(mlstm.chunkwise, inputs)
    same([each.cpu() for each in ours], [each.cpu() for each in exact], 1e-5)
