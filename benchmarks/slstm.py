"""The ways to run xlstm's sLSTM recurrence, against each other: `python -m benchmarks.slstm`.

The paper's size: batch 8, 477 tokens, dim 512, 4 heads; one sLSTM block of xlstm's (convolution, gates, recurrence,
normalisation, feed-forward), forward and backward. Three ways: xlstm's vanilla loop, our loop, and on a GPU xlstm's
CUDA kernel, where it builds; in float32, on a GPU also in bfloat16. Gradients are those of a random linear function
of the output. Differences are from the vanilla loop in float64 on the same (rounded) weights and input, relative to
the largest entry of their tensor: outputs, and the worst of the gradients.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import Tensor
from xlstm import xLSTMBlockStack
from xlstm.blocks.slstm.cell import sLSTMCell_vanilla

from m3agiqa.head import slstm
from m3agiqa.head.slstm import FastSLSTM
from m3agiqa.head.stacks import xlstm_stack

BATCH, TOKENS, DIM, HEADS = 8, 477, 512, 4
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclass
class Run:
    """What a way computes, and what it costs."""

    tensors: dict[str, Tensor]  # output and every gradient
    forward: float  # seconds
    backward: float
    peak: float  # GB, on a GPU


def run(stack: xLSTMBlockStack, x: Tensor, weights: Tensor, repeats: int) -> Run:
    """The fastest of `repeats` runs, after one that warms up where there is more than one."""
    runs = [_run(stack, x, weights) for _ in range(repeats + (repeats > 1))]
    return min(runs[-repeats:], key=lambda each: each.forward + each.backward)


def _run(stack: xLSTMBlockStack, x: Tensor, weights: Tensor) -> Run:
    x = x.clone().requires_grad_()
    stack.zero_grad()
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
    start = _clock()
    output = stack(x)
    middle = _clock()
    (output * weights).sum().backward()
    end = _clock()
    gradients = {name: weight.grad.clone() for name, weight in stack.named_parameters() if weight.grad is not None}
    peak = torch.cuda.max_memory_allocated() / 1e9 if DEVICE == "cuda" else 0.0
    if x.grad is not None:
        gradients = {"input": x.grad, **gradients}
    return Run({"output": output.detach(), **gradients}, middle - start, end - middle, peak)


def _clock() -> float:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


@contextlib.contextmanager
def way(stack: xLSTMBlockStack, name: str, kernel: Callable[..., Tensor] | None) -> Iterator[None]:
    cell = next(module for module in stack.modules() if isinstance(module, sLSTMCell_vanilla))
    cell.__class__ = sLSTMCell_vanilla if name == "vanilla" else FastSLSTM
    with patch.object(slstm, "cuda_kernel", lambda _: kernel if name == "kernel" else None):
        yield


def main() -> None:
    torch.manual_seed(0)
    stack = xlstm_stack(DIM, blocks=1, slstm_at=[0], heads=HEADS, dropout=0.0)
    cell = next(module for module in stack.modules() if isinstance(module, FastSLSTM))
    torch.nn.init.normal_(cell._recurrent_kernel_, std=DIM**-0.5)
    stack = stack.to(DEVICE)
    x, weights = torch.randn(2, BATCH, TOKENS, DIM).to(DEVICE)
    where = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"batch {BATCH}, {TOKENS} tokens, dim {DIM}, {HEADS} heads, {where}, torch {torch.__version__}")

    kernel = None
    if DEVICE == "cuda":
        start = time.perf_counter()
        kernel = slstm.cuda_kernel(cell.config)  # warns where it does not build
        print(f"xlstm's CUDA kernel: {'built' if kernel else 'not built'} in {time.perf_counter() - start:.0f} s")
    ways = ["vanilla", "ours", *(["kernel"] if kernel else [])]
    for dtype in [torch.float32, *([torch.bfloat16] if DEVICE == "cuda" else [])]:
        rounded, inputs = deepcopy(stack).to(dtype), (x.to(dtype), weights.to(dtype))
        exact = deepcopy(rounded).double()
        with way(exact, "vanilla", None):
            reference = run(exact, inputs[0].double(), inputs[1].double(), repeats=1).tensors
        found = {}
        for name in ways:
            with way(rounded, name, kernel):
                found[name] = run(rounded, *inputs, repeats=1 if name == "vanilla" and DEVICE == "cpu" else 3)
        for name, each in found.items():
            _report(name, dtype, each, found["vanilla"], reference)


def _report(name: str, dtype: torch.dtype, each: Run, vanilla: Run, reference: dict[str, Tensor]) -> None:
    apart = {
        part: ((tensor.double() - reference[part]).abs().max() / reference[part].abs().max()).item()
        for part, tensor in each.tensors.items()
    }
    worst = max(list(apart)[1:], key=lambda part: apart[part])
    ratio = (vanilla.forward + vanilla.backward) / (each.forward + each.backward)
    memory = f", {each.peak:.2f} GB at most" if each.peak else ""
    print(
        f"{str(dtype).removeprefix('torch.')}, {name}: {1e3 * each.forward:.1f} ms forward, "
        f"{1e3 * each.backward:.1f} ms backward{memory}: {ratio:.1f} x as fast as vanilla; "
        f"off by {apart['output']:.1e} in the output, {apart[worst]:.1e} in the gradient of {worst}"
    )


if __name__ == "__main__":
    main()
