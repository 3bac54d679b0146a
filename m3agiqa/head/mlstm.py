"""The mLSTM cell of xlstm in time and memory that grow with the sequence, not with its square.

xlstm's cell computes a parallel form: every token is weighed against every one before it, in several (B, N, T, T).
mlstm_kernels, which comes with xlstm, has a chunkwise form: a token is weighed against those of its own chunk, and what
came before is one matrix a chunk. Outputs and gradients are those of the parallel form up to rounding; a sequence of
one chunk stays with that form, which has fewer steps.

The Triton kernels of mlstm_kernels are left alone: on an H200 they were slower at every length up to 2,048 tokens, took
20 s to compile for each shape, and give another gradient (benchmarks/README.md).
"""

from functools import partial
from typing import Any

import torch
from mlstm_kernels.torch import get_mlstm_kernel
from torch import Tensor
from torch.nn.functional import pad
from xlstm import xLSTMBlockStack
from xlstm.blocks.mlstm.backends import parallel_stabilized_simple
from xlstm.blocks.mlstm.cell import mLSTMCell

CHUNK = {"cpu": 64, "cuda": 512}  # most tokens weighed against each other; a GPU would rather have fewer, larger steps
OPEN, SHUT = 25.0, -25.0  # gates of the tokens behind the last: they forget nothing and add nothing


def in_chunks(stack: xLSTMBlockStack) -> xLSTMBlockStack:
    """Have every mLSTM block of `stack` read its sequence in chunks, in place; weights and names stay."""
    for module in stack.modules():
        if isinstance(module, mLSTMCell):
            module.backend_fn = chunkwise
    return stack


def chunkwise(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    igate_preact: Tensor,
    fgate_preact: Tensor,
    **_: Any,  # xlstm's causal mask
) -> Tensor:
    """Three times (B, N, T, H), twice (B, N, T, 1) -> (B, N, T, H), as xlstm's `parallel_stabilized_simple`.

    In 32 bits at least: it sums over the sequence.
    """
    kind, length = torch.promote_types(queries.dtype, torch.float32), queries.shape[2]
    most = CHUNK.get(queries.device.type, CHUNK["cpu"])
    form = in_parallel if length <= most else partial(in_chunks_of, most)
    with torch.autocast(queries.device.type, enabled=False):
        found = form(*(each.to(kind) for each in (queries, keys, values, igate_preact, fgate_preact)))
        return found.to(queries.dtype)


def in_parallel(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> Tensor:
    """As xlstm does it."""
    found: Tensor = parallel_stabilized_simple(q, k, v, i, f)
    return found


def in_chunks_of(most: int, q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor) -> Tensor:
    """The same in equal chunks of at most so many tokens, the last one filled: what stands behind changes nothing."""
    length = q.shape[2]
    chunks = -(-length // most)
    size = -(-length // chunks)
    behind = size * chunks - length
    q, k, v = (pad(each, (0, 0, 0, behind)) for each in (q, k, v))
    i, f = pad(i.squeeze(-1), (0, behind), value=SHUT), pad(f.squeeze(-1), (0, behind), value=OPEN)  # (B, N, T)
    kernel = get_mlstm_kernel("chunkwise--native_autograd")
    found: Tensor = kernel(q=q, k=k, v=v, i=i, f=f, chunk_size=size, autocast_kernel_dtype=torch.float32)
    return found[:, :, :length]
