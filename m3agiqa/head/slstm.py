"""The sLSTM cell of xlstm, fast to train without its CUDA kernel.

xlstm ships two recurrences. "cuda" is compiled at first use and often cannot be; "vanilla" runs anywhere, but it writes
every step into one large tensor, of which autograd then keeps a full copy a step: half a minute for one batch of 8.
`FastSLSTM` is the vanilla cell, same weights under the same names, with the loop written out forward and backward.

One step, from y', c', n', m' to y, c, n, m (i, f, z, o: the gates' input, what y' adds through R included):

    m = max(i, log sigmoid(f) + m')        the largest exponent so far, so that exp never overflows
    I = exp(i - m)                         F = exp(log sigmoid(f) + m' - m)
    c = F c' + I tanh(z)                   n = F n' + I                          y = sigmoid(o) c / n

m only scales c and n alike, and y is their quotient: whatever m is, y is the same. So the backward pass may treat m
as a constant, and little is left of it: what does not depend on the gradient is worked out for all steps at once,
and the loop carries three gradients (of y, c and n) back through time.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid
from torch.utils.cpp_extension import get_default_build_root
from xlstm import xLSTMBlockStack
from xlstm.blocks.slstm.cell import sLSTMCell_vanilla, sLSTMCellConfig, sLSTMCellFuncGenerator

from m3agiqa.files import one_at_a_time

ROOT = "TORCH_EXTENSIONS_DIR"  # where torch compiles


class Recurrence(torch.autograd.Function):
    """(x, R) -> (y, last state). N heads of width H, S steps, gates in the order i, f, z, o.

    x: (S, N, B, 4H), input to the gates, bias included; R: (N, H, 4H). y: (S, N, B, H). The last state, (4, N, B, H)
    as y, c, n, m, is for going on with, and carries no gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
        steps, heads, batch, width = x.shape
        raw = torch.empty_like(x)  # i, f, z, o of each step
        y, c, n, m = x.new_zeros(4, steps + 1, heads, batch, width // 4)  # index t + 1: after step t
        m[0] = -torch.inf  # nothing seen yet: the first step takes m = i
        for t in range(steps):
            torch.baddbmm(x[t], y[t], recurrent, out=raw[t])
            i, f, z, o = raw[t].chunk(4, dim=-1)
            keep = logsigmoid(f).add_(m[t])
            torch.maximum(i, keep, out=m[t + 1])
            gain = torch.sub(i, m[t + 1]).exp_()
            keep.sub_(m[t + 1]).exp_()
            torch.addcmul(keep * c[t], gain, torch.tanh(z), out=c[t + 1])
            torch.addcmul(gain, keep, n[t], out=n[t + 1])
            torch.mul(torch.sigmoid(o), c[t + 1], out=y[t + 1]).div_(n[t + 1])
        ctx.save_for_backward(raw, recurrent, y, c, n, m)
        last = torch.stack((y[-1], c[-1], n[-1], m[-1]))
        ctx.mark_non_differentiable(last)
        return y[1:].clone(), last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        raw, recurrent, y, c, n, m = ctx.saved_tensors
        i, f, z, o = raw.chunk(4, dim=-1)  # (S, N, B, H) each
        gain = torch.exp(i - m[1:])
        keep = torch.exp(logsigmoid(f) + m[:-1] - m[1:])
        tanh, gate, forget = torch.tanh(z), torch.sigmoid(o), keep * torch.sigmoid(-f)
        zeros = torch.zeros_like(gain)
        # d raw = dc * by_c + dn * by_n + dy * by_y, gate by gate; dc and dn come from dy through c_y and n_y.
        by_c = torch.cat((gain * tanh, forget * c[:-1], gain * (1 - tanh**2)), dim=-1)
        by_n = torch.cat((gain, forget * n[:-1], zeros), dim=-1)
        by_y = y[1:] * (1 - gate)
        c_y = gate / n[1:]
        n_y = -y[1:] / n[1:]
        transposed = recurrent.transpose(1, 2).contiguous()
        grad_raw = torch.empty_like(raw)
        dc, dn, through = zeros[0].clone(), zeros[0].clone(), zeros[0].clone()
        for t in reversed(range(len(raw))):
            dy = through.add_(grad_y[t])
            dc.addcmul_(dy, c_y[t])
            dn.addcmul_(dy, n_y[t])
            into = grad_raw[t]
            torch.mul(by_c[t], dc.repeat(1, 1, 3), out=into[..., : -dy.shape[-1]])
            into[..., : -dy.shape[-1]].addcmul_(by_n[t], dn.repeat(1, 1, 3))
            torch.mul(by_y[t], dy, out=into[..., -dy.shape[-1] :])
            dc.mul_(keep[t])
            dn.mul_(keep[t])
            through = torch.bmm(into, transposed)
        over_time = [part.transpose(0, 1).flatten(1, 2) for part in (y[:-1], grad_raw)]  # (N, S B, H or 4H)
        return grad_raw, torch.bmm(over_time[0].transpose(1, 2), over_time[1])


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
        bias = self._bias.view(4, heads, width).transpose(0, 1)  # (N, 4, H)
        if input.is_cuda and (kernel := cuda_kernel(self.config)):
            x = x.transpose(1, 2).flatten(2).contiguous()  # (S, B, N 4 H)
            recurrent = self._recurrent_kernel.transpose(1, 2).contiguous()  # (N, H, 4 H)
            zeros = x.new_zeros(4, batch, heads * width)
            states = kernel(torch.is_grad_enabled(), x, zeros, recurrent, bias.flatten().contiguous())
            y = states[0, 1:].view(steps, batch, heads, width).permute(1, 2, 0, 3)
            return y.to(input.dtype), states[:, -1].to(input.dtype)
        x = (x + bias[:, None]).flatten(3)  # (S, N, B, 4 H)
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # c and n sum over the sequence: no 16 bits hold them
        recurrent = self._recurrent_kernel.transpose(1, 2).to(x.dtype).contiguous()
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
