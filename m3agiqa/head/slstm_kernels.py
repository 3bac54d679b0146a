"""The loops of m3agiqa/head/slstm.py as two Triton kernels, one launch each: a GPU starts thousands of kernels else.

A program has one head and ROWS sequences, keeps the recurrent matrix and the states in its registers, and walks through
time. Names and equations are those of `Recurrence`. Steps and batch are given at run time, so a width compiles once.
"""

# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False, disallow-untyped-decorators=False
import triton
import triton.language as tl
from torch import Tensor

ROWS = 16  # the fewest that Triton multiplies
WARPS = 4  # of 32 threads a program
WIDTHS = (16, 32)  # of a head, H: of 64, four H x H take 172 KB, which few GPUs have beside a program


def forward(x: Tensor, recurrent: Tensor, raw: Tensor, y: Tensor, c: Tensor, n: Tensor, m: Tensor) -> None:
    """Fill raw (S, N, B, 4H) and, behind their first row, y, c, n, m (S + 1, N, B, H)."""
    steps, heads, batch, width = *raw.shape[:3], y.shape[3]
    programs = (heads, triton.cdiv(batch, ROWS))
    _forward[programs](x, recurrent, raw, y, c, n, m, steps, heads, batch, width=width, rows=ROWS, num_warps=WARPS)


def backward(
    grad_y: Tensor, recurrent: Tensor, raw: Tensor, y: Tensor, c: Tensor, n: Tensor, m: Tensor, grad_raw: Tensor
) -> None:
    """Fill grad_raw (S, N, B, 4H)."""
    steps, heads, batch, width = *raw.shape[:3], y.shape[3]
    programs = (heads, triton.cdiv(batch, ROWS))
    _backward[programs](
        grad_y, recurrent, raw, y, c, n, m, grad_raw, steps, heads, batch, width=width, rows=ROWS, num_warps=WARPS
    )


@triton.jit
def _log_sigmoid(f):
    return tl.minimum(f, 0.0) - tl.log(1.0 + tl.exp(-tl.abs(f)))


@triton.jit
def _tanh(z):
    return 2.0 * tl.sigmoid(2.0 * z) - 1.0


@triton.jit(do_not_specialize=["steps", "heads", "batch"])
def _forward(x, recurrent, raw, y, c, n, m, steps, heads, batch, width: tl.constexpr, rows: tl.constexpr):  # noqa: PLR0917
    head, row = tl.program_id(0), tl.program_id(1) * rows + tl.arange(0, rows)
    column = tl.arange(0, width)
    there = (row < batch)[:, None]
    weights = recurrent + head * 4 * width * width + column[:, None] * 4 * width + column[None, :]  # (H in, H out)
    r_i, r_f = tl.load(weights), tl.load(weights + width)
    r_z, r_o = tl.load(weights + 2 * width), tl.load(weights + 3 * width)

    one = heads * batch * width  # a step, in y, c, n and m; in x and raw it is four
    state = (head * batch + row[:, None]) * width + column[None, :]
    gates = (head * batch + row[:, None]) * 4 * width + column[None, :]
    y_t = tl.zeros((rows, width), tl.float32)
    c_t, n_t = tl.zeros((rows, width), tl.float32), tl.zeros((rows, width), tl.float32)
    m_t = tl.full((rows, width), -float("inf"), tl.float32)
    for _ in range(steps):
        i = tl.load(x + gates, there, 0.0) + tl.dot(y_t, r_i, input_precision="ieee")
        f = tl.load(x + gates + width, there, 0.0) + tl.dot(y_t, r_f, input_precision="ieee")
        z = tl.load(x + gates + 2 * width, there, 0.0) + tl.dot(y_t, r_z, input_precision="ieee")
        o = tl.load(x + gates + 3 * width, there, 0.0) + tl.dot(y_t, r_o, input_precision="ieee")
        keep = _log_sigmoid(f) + m_t
        m_t = tl.maximum(i, keep)
        gain, keep = tl.exp(i - m_t), tl.exp(keep - m_t)
        c_t = keep * c_t + gain * _tanh(z)
        n_t = keep * n_t + gain
        y_t = tl.sigmoid(o) * c_t / n_t
        tl.store(raw + gates, i, there)
        tl.store(raw + gates + width, f, there)
        tl.store(raw + gates + 2 * width, z, there)
        tl.store(raw + gates + 3 * width, o, there)
        x += 4 * one
        raw += 4 * one
        y += one
        c += one
        n += one
        m += one
        tl.store(y + state, y_t, there)
        tl.store(c + state, c_t, there)
        tl.store(n + state, n_t, there)
        tl.store(m + state, m_t, there)


@triton.jit(do_not_specialize=["steps", "heads", "batch"])
def _backward(  # noqa: PLR0917
    grad_y,
    recurrent,
    raw,
    y,
    c,
    n,
    m,
    grad_raw,
    steps,
    heads,
    batch,
    width: tl.constexpr,
    rows: tl.constexpr,
):
    head, row = tl.program_id(0), tl.program_id(1) * rows + tl.arange(0, rows)
    column = tl.arange(0, width)
    there = (row < batch)[:, None]
    weights = recurrent + head * 4 * width * width + column[:, None] + column[None, :] * 4 * width  # (H out, H in)
    r_i, r_f = tl.load(weights), tl.load(weights + width)
    r_z, r_o = tl.load(weights + 2 * width), tl.load(weights + 3 * width)

    one = heads * batch * width
    state = (head * batch + row[:, None]) * width + column[None, :]
    gates = (head * batch + row[:, None]) * 4 * width + column[None, :]
    last = tl.cast(steps, tl.int64) * one
    raw += 4 * last
    grad_raw += 4 * last
    grad_y += last
    y += last
    c += last
    n += last
    m += last
    dc, dn = tl.zeros((rows, width), tl.float32), tl.zeros((rows, width), tl.float32)
    through = tl.zeros((rows, width), tl.float32)
    for _ in range(steps):
        raw -= 4 * one
        grad_raw -= 4 * one
        grad_y -= one
        i, f = tl.load(raw + gates, there, 0.0), tl.load(raw + gates + width, there, 0.0)
        z, o = tl.load(raw + gates + 2 * width, there, 0.0), tl.load(raw + gates + 3 * width, there, 0.0)
        y_t, n_t = tl.load(y + state, there, 0.0), tl.load(n + state, there, 1.0)
        m_t = tl.load(m + state, there, 0.0)
        y -= one
        c -= one
        n -= one
        m -= one
        c_before, n_before = tl.load(c + state, there, 0.0), tl.load(n + state, there, 1.0)
        m_before = tl.load(m + state, there, 0.0)

        gain, keep = tl.exp(i - m_t), tl.exp(_log_sigmoid(f) + m_before - m_t)
        tanh, gate, forget = _tanh(z), tl.sigmoid(o), keep * tl.sigmoid(-f)
        dy = through + tl.load(grad_y + state, there, 0.0)
        dc += dy * gate / n_t
        dn -= dy * y_t / n_t
        d_i = gain * (tanh * dc + dn)
        d_f = forget * (c_before * dc + n_before * dn)
        d_z = gain * (1.0 - tanh * tanh) * dc
        d_o = y_t * (1.0 - gate) * dy
        dc *= keep
        dn *= keep
        through = tl.dot(d_i, r_i, input_precision="ieee") + tl.dot(d_f, r_f, input_precision="ieee")
        through += tl.dot(d_z, r_z, input_precision="ieee") + tl.dot(d_o, r_o, input_precision="ieee")
        tl.store(grad_raw + gates, d_i, there)
        tl.store(grad_raw + gates + width, d_f, there)
        tl.store(grad_raw + gates + 2 * width, d_z, there)
        tl.store(grad_raw + gates + 3 * width, d_o, there)
