"""The mLSTM in chunks beside xlstm's parallel form: `python -m benchmarks.mlstm`.

Two blocks of xlstm's at the default head's width (batch 2, dim 64, 4 heads), forward and backward, at 512, 1,024 and
2,048 tokens. The floor is what xlstm ships, the parallel form; memory is what torch had allocated at most, less what it
had before. Differences are from the parallel form in float64, of the cell alone, relative to the largest entry of their
tensor: output, and the worst gradient. Then the default head on 32 images of 1,400 x 576: one step of training, and its
memory.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from xlstm.blocks.mlstm.backends import parallel_stabilized_simple
from xlstm.blocks.mlstm.cell import mLSTMCell

from m3agiqa.head import mlstm
from m3agiqa.head.model import build_head
from m3agiqa.head.stacks import xlstm_stack

BATCH, DIM, HEADS, LENGTHS = 2, 64, 4, (512, 1024, 2048)
IMAGES, TOKENS, WIDTH = 32, 1400, 576
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Form = Callable[..., Tensor]


FORMS: dict[str, Form] = {"parallel": parallel_stabilized_simple, "chunks": mlstm.chunkwise}


class Cost(NamedTuple):
    """Of a forward and backward pass."""

    seconds: float  # the fastest
    memory: float  # MB


def cost(action: Callable[[], object], repeats: int = 3) -> Cost:
    times = []
    for _ in range(repeats + 1):
        start = clock()
        action()
        times.append(clock() - start)
    return Cost(min(times), allocated(action))


def allocated(action: Callable[[], object]) -> float:
    """Most MB that torch had allocated while it ran, beyond what it had before."""
    if DEVICE == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        action()
    results = seen.profiler.kineto_results if seen.profiler else None  # its own table sums allocations by operation
    changes = [event for event in results.events() if event.name() == "[memory]"] if results else []
    now = most = 0
    for change in sorted(changes, key=lambda event: event.start_ns()):
        now += change.nbytes()
        most = max(most, now)
    return most / 1e6


def clock() -> float:
    """Seconds; on a CPU those of its cores together, which other work on the machine hardly lengthens."""
    if DEVICE == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def blocks(form: str, length: int) -> Cost:
    """Two mLSTM blocks, forward and backward."""
    torch.manual_seed(0)
    stack = xlstm_stack(DIM, blocks=2, slstm_at=[], heads=HEADS, dropout=0.0).to(DEVICE)
    for module in stack.modules():
        if isinstance(module, mLSTMCell):
            module.backend_fn = lambda queries, keys, values, igate_preact, fgate_preact, **_: FORMS[form](
                queries, keys, values, igate_preact, fgate_preact
            )
    x = torch.randn(BATCH, length, DIM, device=DEVICE)
    return cost(lambda: stack(x).sum().backward(), repeats=1 if DEVICE == "cpu" and form == "parallel" else 3)


def head() -> Cost:
    """A step of the default head, without the optimiser's."""
    states = torch.randn(IMAGES, TOKENS, WIDTH, device=DEVICE).bfloat16()
    mask = torch.ones(IMAGES, TOKENS, dtype=torch.bool, device=DEVICE)
    model = build_head("xlstm", WIDTH, seed=0).to(DEVICE).train()

    def step() -> None:
        model(states, mask, mask).sum().backward()

    return cost(step, repeats=0 if DEVICE == "cpu" else 3)


def differences(length: int) -> str:
    """Of the chunks, in float32."""
    random = torch.Generator().manual_seed(0)
    shapes = [(BATCH, HEADS, length, 2 * DIM // HEADS)] * 4 + [(BATCH, HEADS, length, 1)] * 2
    *inputs, weights, i, f = (torch.randn(shape, generator=random).to(DEVICE) for shape in shapes)
    inputs += [i, f + 4]
    found = []
    for form, kind in (("chunks", torch.float32), ("parallel", torch.float64)):
        leaves = [each.to(kind).requires_grad_() for each in inputs]
        h = FORMS[form](*leaves)
        found.append([h, *torch.autograd.grad((h * weights.to(kind)).sum(), leaves)])
    off = [((ours - exact).abs().max() / exact.abs().max()).item() for ours, exact in zip(*found, strict=True)]
    return f"{off[0]:.1e} in the output, {max(off[1:]):.1e} in the gradient"


def main() -> None:
    where = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"two blocks, batch {BATCH}, dim {DIM}, {HEADS} heads, {where}, torch {torch.__version__}")
    for length in LENGTHS:
        floor = blocks("parallel", length)
        print(f"{length} tokens, parallel (floor): {1e3 * floor.seconds:.0f} ms, {floor.memory:.0f} MB")
        each = blocks("chunks", length)
        print(
            f"{length} tokens, chunks: {1e3 * each.seconds:.1f} ms, {floor.seconds / each.seconds:.1f} x as fast; "
            f"{each.memory:.0f} MB, {each.memory / floor.memory:.3f} x; off by {differences(length)}"
        )
    whole = head()
    print(f"the default head, {IMAGES} x {TOKENS} x {WIDTH}: {whole.seconds:.2f} s, {whole.memory:.0f} MB")


if __name__ == "__main__":
    main()
