"""Our sLSTM is xlstm's: the same outputs and gradients, in every precision."""

import os
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.utils.cpp_extension import _get_build_directory
from torch.utils.file_baton import FileBaton
from xlstm.blocks.slstm.cell import sLSTMCell_vanilla, sLSTMCellConfig

from m3agiqa.head import recurrence, slstm
from m3agiqa.head.slstm import FastSLSTM
from m3agiqa.head.stacks import xlstm_stack


def vanilla_cell(heads, width, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    config = sLSTMCellConfig(
        hidden_size=heads * width, num_heads=heads, backend="vanilla", recurrent_weight_init="standard", _num_blocks=4
    )
    return sLSTMCell_vanilla(config).to(dtype)


def outputs_and_gradients(module, x, weights):
    x = x.clone().requires_grad_()
    output = module(x)
    output = output[0] if isinstance(output, tuple) else output
    (output * weights).sum().backward()
    return [output.detach(), x.grad, *(weight.grad for weight in module.parameters())]


@settings(deadline=None, max_examples=25)
@given(
    heads=st.integers(1, 3),
    width=st.integers(2, 5),
    batch=st.integers(1, 3),
    steps=st.integers(1, 12),
    scale=st.sampled_from([0.1, 1.0, 30.0]),
    seed=st.integers(0, 99),
)
def test_the_fast_cell_is_the_vanilla_cell(heads, width, batch, steps, scale, seed):
    vanilla = vanilla_cell(heads, width, seed=seed)
    fast = deepcopy(vanilla)
    fast.__class__ = FastSLSTM
    x = scale * torch.randn(batch, steps, 4 * heads * width, dtype=torch.float64)
    weights = torch.randn(batch, heads, steps, width, dtype=torch.float64)
    torch.testing.assert_close(fast(x)[1], vanilla(x)[1])
    for ours, theirs in zip(
        outputs_and_gradients(fast, x, weights), outputs_and_gradients(vanilla, x, weights), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_the_fast_stack_is_the_vanilla_stack_in_single_precision(monkeypatch):
    torch.manual_seed(0)
    fast = xlstm_stack(32, blocks=3, slstm_at=[0, 2], heads=4, dropout=0.0)
    with monkeypatch.context() as patch:
        patch.setattr("m3agiqa.head.stacks.accelerate", lambda stack: stack)
        vanilla = xlstm_stack(32, blocks=3, slstm_at=[0, 2], heads=4, dropout=0.0)
    kinds = [type(block.xlstm.slstm_cell) for stack in (fast, vanilla) for block in (stack.blocks[0], stack.blocks[2])]
    assert kinds == [FastSLSTM, FastSLSTM, sLSTMCell_vanilla, sLSTMCell_vanilla]
    vanilla.load_state_dict(fast.state_dict())  # same names, same shapes
    for stack in (fast, vanilla):
        for module in stack.modules():
            if hasattr(module, "causal_mask"):
                module.causal_mask = torch.ones(20, 20, dtype=torch.bool).tril()
    x, weights = torch.randn(3, 20, 32), torch.randn(3, 20, 32) / 100
    for ours, theirs in zip(
        outputs_and_gradients(fast, x, weights), outputs_and_gradients(vanilla, x, weights), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_stepping_with_a_state_is_left_to_xlstm():
    vanilla = vanilla_cell(2, 3)
    fast = deepcopy(vanilla)
    fast.__class__ = FastSLSTM
    x = torch.randn(2, 5, 24, dtype=torch.float64)
    _, middle = fast(x[:, :3])
    torch.testing.assert_close(fast(x[:, 3:], middle)[0], fast(x)[0][:, :, 3:])


def test_a_kernel_that_does_not_compile_costs_one_warning(monkeypatch):
    def broken(**_):
        raise KeyError("CUDA_LIB")

    monkeypatch.setattr(slstm, "sLSTMCellFuncGenerator", broken)
    slstm._compile.cache_clear()
    with pytest.warns(UserWarning, match="does not compile here, using ours: 'CUDA_LIB'") as caught:
        assert [slstm._compile(8, 2), slstm._compile(8, 2)] == [None, None]
    assert len(caught) == 1
    slstm._compile.cache_clear()


def test_a_kill_while_the_kernel_compiles_stops_nothing_later(monkeypatch, tmp_path):
    """It leaves torch's lock, which `torch.utils.cpp_extension.load` takes, and waits for where it cannot."""
    locks = []

    def compile_as_torch_does(**_):
        locks.append(FileBaton(str(Path(_get_build_directory("slstm_HS8", verbose=False)) / "lock")))
        assert locks[-1].try_acquire()
        return SimpleNamespace(apply=torch.add)  # and is killed here: the lock is never released

    monkeypatch.setenv(slstm.ROOT, str(tmp_path))
    monkeypatch.setattr(slstm, "sLSTMCellFuncGenerator", compile_as_torch_does)
    for _ in range(2):
        slstm._compile.cache_clear()
        assert slstm._compile(8, 2) is torch.add
    slstm._compile.cache_clear()
    assert len(locks) == 2
    assert os.environ[slstm.ROOT] == str(tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("way", ["triton", "xlstm"])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-4), (torch.bfloat16, 2e-2)])
def test_the_kernels_of_a_gpu_are_the_vanilla_cell(monkeypatch, dtype, near, way):
    vanilla = vanilla_cell(4, 16, dtype).cuda()
    fast = deepcopy(vanilla)
    fast.__class__ = FastSLSTM
    x, weights = torch.randn(3, 50, 256).to(vanilla._bias_), torch.randn(3, 4, 50, 16).to(vanilla._bias_)
    if way == "triton":
        assert recurrence.kernels(x.float(), 16)
    else:
        monkeypatch.setattr(slstm, "kernels", lambda *_: None)
        if not slstm.cuda_kernel(fast.config):
            pytest.skip("xlstm's kernel does not build here")
    exact = outputs_and_gradients(deepcopy(vanilla).double(), x.double(), weights.double())
    for ours, theirs in zip(outputs_and_gradients(fast, x, weights), exact, strict=True):
        assert (ours.double() - theirs).abs().max() < near * theirs.abs().max()


@pytest.mark.parametrize(
    ("fused", "message"),
    [
        (SimpleNamespace(WIDTHS=(16,), forward=lambda *_: 1 / 0, backward=None), "doing without: division by zero"),
        (SimpleNamespace(WIDTHS=(16,), forward=recurrence.walk, backward=lambda *_: None), "doing without: off by"),
    ],
)
def test_triton_kernels_that_fail_cost_one_warning(monkeypatch, fused, message):
    monkeypatch.setattr(recurrence, "import_module", lambda _: fused)
    recurrence._tried.cache_clear()
    monkeypatch.setattr(torch, "empty_like", torch.zeros_like)  # what was never written is not right by chance
    with pytest.warns(UserWarning, match=message) as caught:
        assert [recurrence._tried(16, torch.device("cpu")) for _ in range(2)] == [None, None]
    assert len(caught) == 1
    assert recurrence._tried(64, torch.device("cpu")) is None  # too wide: no warning
    recurrence._tried.cache_clear()


def test_sixteen_bits_in_and_out_leave_the_recurrence_in_thirty_two():
    """Sums over 400 tokens: in bfloat16, as xlstm's vanilla cell makes them, they are ten times further off."""
    vanilla = vanilla_cell(2, 8, torch.float32).bfloat16()
    fast = deepcopy(vanilla)
    fast.__class__ = FastSLSTM
    x = torch.randn(2, 400, 64).bfloat16()
    with torch.no_grad():
        exact = deepcopy(vanilla).double()(x.double())[0]
        ours, theirs = fast(x)[0], vanilla(x)[0]
    assert ours.dtype == torch.bfloat16
    far, further = ((output.double() - exact).abs().max() / exact.abs().max() for output in (ours, theirs))
    assert far < 0.01
    assert far < further / 2
