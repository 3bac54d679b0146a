"""The sLSTM cell of xlstm, fast to train without its CUDA kernel.

xlstm ships two recurrences. "cuda" is compiled at first use and often cannot be; "vanilla" runs anywhere, but it writes
every step into one large tensor, of which autograd then keeps a full copy a step: half a minute for one batch of 8.
`FastSLSTM` is the vanilla cell, same weights under the same names, with the loop written out forward and backward
(m3agiqa/head/recurrence.py). A GPU takes the first of three that it can: two Triton kernels of ours, for narrow heads;
xlstm's, two launches a step and more back; the loops.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.cpp_extension import get_default_build_root
from xlstm import xLSTMBlockStack
from xlstm.blocks.slstm.cell import sLSTMCell_vanilla, sLSTMCellConfig, sLSTMCellFuncGenerator

from m3agiqa.files import one_at_a_time
from m3agiqa.head.recurrence import Recurrence, kernels

ROOT = "TORCH_EXTENSIONS_DIR"  # where torch compiles


class FastSLSTM(sLSTMCell_vanilla):  # type: ignore[misc]  # xlstm has no types
    """Takes the place of xlstm's vanilla cell; parameters, shapes and results are the vanilla cell's."""

    def forward(
        self,
        input: Tensor,  # noqa: A002 - xlstm's name for it
        state: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(B, S, 4 x hidden) -> output (B, N, S, H) and last state (4, B, hidden)."""
        if state is not None or self.config.output_shape != "BNSH":
            stepped: tuple[Tensor, Tensor] = super().forward(input, state, lengths)
            return stepped  # only step-by-step inference comes with a state
        self._check_input(input)
        heads, width = self.config.num_heads, self.config.head_dim
        batch, steps, _ = input.shape
        x = input.view(batch, steps, 4, heads, width).permute(1, 3, 0, 2, 4)  # (S, N, B, 4, H)
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # c and n sum over the sequence: no 16 bits hold them
        bias = self._bias.view(4, heads, width).transpose(0, 1)  # (N, 4, H)
        recurrent = self._recurrent_kernel.transpose(1, 2).to(x.dtype).contiguous()  # (N, H, 4 H)
        if input.is_cuda and not kernels(x, width) and (kernel := cuda_kernel(self.config)):
            x = x.transpose(1, 2).flatten(2).contiguous()  # (S, B, N 4 H)
            zeros = x.new_zeros(4, batch, heads * width)
            states = kernel(torch.is_grad_enabled(), x, zeros, recurrent, bias.flatten().contiguous())
            y = states[0, 1:].view(steps, batch, heads, width).permute(1, 2, 0, 3)
            return y.to(input.dtype), states[:, -1].to(input.dtype)
        x = (x + bias[:, None]).flatten(3).contiguous()  # (S, N, B, 4 H)
        y, last = Recurrence.apply(x, recurrent)  # type: ignore[no-untyped-call]  # torch's, without types
        return y.permute(2, 1, 0, 3).to(input.dtype), last.transpose(1, 2).flatten(2).to(input.dtype)


def accelerate(stack: xLSTMBlockStack) -> xLSTMBlockStack:
    """Swap the recurrence of every sLSTM block built with backend "vanilla", in place; weights and names stay."""
    for module in stack.modules():
        if type(module) is sLSTMCell_vanilla:
            module.__class__ = FastSLSTM
    return stack


def cuda_kernel(config: sLSTMCellConfig) -> Callable[..., Tensor] | None:
    """Kernel of xlstm's own for cells of this size, compiled at its first use; None where it cannot be."""
    return _compile(config.hidden_size, config.num_heads)


@cache
def _compile(hidden: int, heads: int) -> Callable[..., Tensor] | None:
    """Build xlstm's CUDA kernel in float32; None, with one warning, where it does not compile."""
    config = sLSTMCellConfig(hidden_size=hidden, num_heads=heads, backend="cuda", dtype="float32")
    try:
        # It prints its compiler flags.
        with _build_folder(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kernel: Callable[..., Tensor] = sLSTMCellFuncGenerator(training=True, config=config).apply
    except Exception as error:  # noqa: BLE001 - a compiler, a linker, a missing header: anything can come out
        reason = (str(error) or type(error).__name__).splitlines()[0]
        warnings.warn(f"xlstm's CUDA kernel does not compile here, using ours: {reason}", stacklevel=2)
        return None
    return kernel


@contextlib.contextmanager
def _build_folder() -> Iterator[None]:
    """Have torch compile below a folder of ours, one process at a time.

    A process that is killed while it compiles leaves torch's own lock, on which every later one would wait for ever.
    """
    above = Path(os.environ.get(ROOT) or get_default_build_root())
    folder = above / f"m3agiqa-python{sys.version_info[0]}.{sys.version_info[1]}-torch{torch.__version__}"
    busy = f"another run compiles xlstm's CUDA kernel in {folder}; waiting for it to end"
    with one_at_a_time(folder.with_name(f".{folder.name}.lock"), busy):
        for left in folder.glob("*/lock"):
            left.unlink()
        before = os.environ.get(ROOT)
        os.environ[ROOT] = str(folder)
        try:
            yield
        finally:
            os.environ.pop(ROOT)
            if before is not None:
                os.environ[ROOT] = before
