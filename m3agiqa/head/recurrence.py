"""The sLSTM recurrence, forward and backward, as one function that autograd sees.

One step, from y', c', n', m' to y, c, n, m (i, f, z, o: the gates' input, what y' adds through R included):

    m = max(i, log sigmoid(f) + m')        the largest exponent so far, so that exp never overflows
    I = exp(i - m)                         F = exp(log sigmoid(f) + m' - m)
    c = F c' + I tanh(z)                   n = F n' + I                          y = sigmoid(o) c / n

m only scales c and n alike, and y is their quotient: whatever m is, y is the same. So the backward pass may treat m
as a constant, and little is left of it: what does not depend on the gradient is worked out for all steps at once,
and the loop carries three gradients (of y, c and n) back through time.

On a GPU both loops are a kernel each (m3agiqa/head/slstm_kernels.py) where Triton is there and the heads are narrow.
"""

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import logsigmoid

NEAR = 1e-4  # what the kernels may differ by from the loops, of the largest entry


class Recurrence(torch.autograd.Function):
    """(x, R) -> (y, last state). N heads of width H, S steps, gates in the order i, f, z, o.

    x: (S, N, B, 4H), input to the gates, bias included; R: (N, H, 4H). y: (S, N, B, H). The last state, (4, N, B, H)
    as y, c, n, m, is for going on with, and carries no gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, recurrent: Tensor) -> tuple[Tensor, Tensor]:
        raw, states = torch.empty_like(x), empty_states(x)
        fused = kernels(x, x.shape[-1] // 4)
        forward: Callable[..., None] = fused.forward if fused else walk
        forward(x, recurrent, raw, *states)
        ctx.save_for_backward(raw, recurrent, states)
        ctx.fused = fused
        last = states[:, -1].clone()
        ctx.mark_non_differentiable(last)
        return states[0, 1:].clone(), last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        raw, recurrent, states = ctx.saved_tensors
        grad_raw = torch.empty_like(raw)
        back: Callable[..., None] = ctx.fused.backward if ctx.fused else walk_back
        back(grad_y.contiguous(), recurrent, raw, *states, grad_raw)
        over_time = [part.transpose(0, 1).flatten(1, 2) for part in (states[0, :-1], grad_raw)]  # (N, S B, H or 4H)
        return grad_raw, torch.bmm(over_time[0].transpose(1, 2), over_time[1])


def empty_states(x: Tensor) -> Tensor:
    """Of x (S, N, B, 4H): (4, S + 1, N, B, H), y, c, n and m, of which index t + 1 is for after step t."""
    steps, heads, batch, width = x.shape
    states = x.new_zeros(4, steps + 1, heads, batch, width // 4)
    states[3, 0] = -torch.inf  # nothing seen yet: the first step takes m = i
    return states


def walk(x: Tensor, recurrent: Tensor, raw: Tensor, y: Tensor, c: Tensor, n: Tensor, m: Tensor) -> None:
    """Fill raw (S, N, B, 4H), what each step's gates got, and y, c, n, m (S + 1, N, B, H) behind their first row."""
    for t in range(len(raw)):
        torch.baddbmm(x[t], y[t], recurrent, out=raw[t])
        i, f, z, o = raw[t].chunk(4, dim=-1)
        keep = logsigmoid(f).add_(m[t])
        torch.maximum(i, keep, out=m[t + 1])
        gain = torch.sub(i, m[t + 1]).exp_()
        keep.sub_(m[t + 1]).exp_()
        torch.addcmul(keep * c[t], gain, torch.tanh(z), out=c[t + 1])
        torch.addcmul(gain, keep, n[t], out=n[t + 1])
        torch.mul(torch.sigmoid(o), c[t + 1], out=y[t + 1]).div_(n[t + 1])


def walk_back(
    grad_y: Tensor, recurrent: Tensor, raw: Tensor, y: Tensor, c: Tensor, n: Tensor, m: Tensor, grad_raw: Tensor
) -> None:
    """Fill grad_raw (S, N, B, 4H)."""
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


def kernels(x: Tensor, width: int) -> ModuleType | None:
    """What takes the place of `walk` and `walk_back` for x and H: m3agiqa/head/slstm_kernels.py, if it can."""
    return _tried(width, x.device) if x.is_cuda and x.dtype == torch.float32 else None


@cache
def _tried(width: int, device: torch.device) -> ModuleType | None:
    """The kernels, if they take heads of `width` and give what the loops give; one warning where they fail."""
    try:
        fused = import_module("m3agiqa.head.slstm_kernels")
        if width not in fused.WIDTHS:
            return None
        reason = difference(fused, width, device)
    except Exception as error:  # noqa: BLE001 - no Triton, no compiler, a small GPU: anything can come out
        reason = (str(error) or type(error).__name__).splitlines()[0]
    if reason is None:
        return fused
    warnings.warn(f"the sLSTM's Triton kernels do not work here, doing without: {reason}", stacklevel=2)
    return None


def difference(fused: ModuleType, width: int, device: str | torch.device) -> str | None:
    """What the kernels get wrong of a short sequence of their own, or None."""
    random = torch.Generator().manual_seed(0)  # the training's own draws stay as they are
    x, grad_y = (torch.randn(5, 2, 19, part * width, generator=random).to(device) for part in (4, 1))
    recurrent = torch.randn(2, width, 4 * width, generator=random).to(device) * width**-0.5
    found = []
    ways: tuple[tuple[Callable[..., None], ...], ...] = ((fused.forward, fused.backward), (walk, walk_back))
    for forward, backward in ways:
        raw, grad_raw, states = torch.empty_like(x), torch.empty_like(x), empty_states(x)
        forward(x, recurrent, raw, *states)
        backward(grad_y, recurrent, raw, *states, grad_raw)
        found.append((states[:, 1:], grad_raw))
    off = [((ours - theirs).abs().max() / theirs.abs().max()).item() for ours, theirs in zip(*found, strict=True)]
    return None if max(off) < NEAR else f"off by {max(off):.1e}"
