"""MiniCPM-Llama3-V-2.5's equations once more: one view at a time, loops for indices, nothing of ours and no batch.

What the published code computes for one image, from the same state dict. It is here to be compared with, and slow.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear

State = dict[str, Tensor]


def image_vectors(state: State, strips: list[Tensor], sizes: list[tuple[int, int]], *, places: int) -> list[Tensor]:
    """[(Q, D)] of one image's views; `strips` are (3, P, P·n), `sizes` (rows, columns), `places` a side of `vpm`'s."""
    longest = max(rows * columns for rows, columns in sizes)
    vectors = []
    for strip, (rows, columns) in zip(strips, sizes, strict=True):
        side = strip.shape[1]
        patches = [strip[:, :, k * side : (k + 1) * side] for k in range(rows * columns)]
        patches += [torch.zeros_like(patches[0])] * (longest - len(patches))  # which the published code attends to
        seen = _vision(state, patches, places)[: rows * columns]
        vectors.append(_resample(state, seen, columns))
    return vectors


def spliced(state: State, ids: list[int], vectors: list[Tensor], start: int, end: int) -> Tensor:
    """(T, D): the tokens' embeddings, with each view's vectors strictly between its `start` and `end` token."""
    embeddings = [state["llm.model.embed_tokens.weight"][token] for token in ids]
    opened = [place for place, token in enumerate(ids) if token == start]
    closed = [place for place, token in enumerate(ids) if token == end]
    for first, last, view in zip(opened, closed, vectors, strict=True):
        embeddings[first + 1 : last] = list(view)
    assert len(embeddings) == len(ids)
    return torch.stack(embeddings)


def position(row: int, column: int, width: int) -> Tensor:
    """(width,): sine and cosine of the column, then of the row, each at width / 4 frequencies."""
    quarter = width // 4
    angles = [[at / 10000 ** (i / quarter) for i in range(quarter)] for at in (column, row)]
    return torch.tensor([wave(angle) for axis in angles for wave in (math.sin, math.cos) for angle in axis])


def place(patch: int, patches: int, places: int) -> int:
    """How many of the inner borders between `places` equal parts lie at or below patch / patches, in float32."""
    share = np.float32(patch) * (np.float32(1) / np.float32(patches))
    return sum(bool(np.float32(border / places) <= share) for border in range(1, places))


def _vision(state: State, patches: list[Tensor], places: int) -> Tensor:
    kernel, bias = state["vpm.embeddings.patch_embedding.weight"], state["vpm.embeddings.patch_embedding.bias"]
    table = state["vpm.embeddings.position_embedding.weight"]
    x = torch.stack(
        [
            (kernel * patch).sum(dim=(1, 2, 3)) + bias + table[place(k, len(patches), places)]
            for k, patch in enumerate(patches)
        ]
    )  # (n, vision width)
    layer = 0
    while f"vpm.encoder.layers.{layer}.mlp.fc1.weight" in state:
        part = {
            name.split(f"layers.{layer}.")[1]: value
            for name, value in state.items()
            if f"vpm.encoder.layers.{layer}." in name
        }
        normed = layer_norm(x, x.shape[1:], part["layer_norm1.weight"], part["layer_norm1.bias"], 1e-6)
        q, k, v = (linear(normed, part[f"self_attn.{n}_proj.weight"], part[f"self_attn.{n}_proj.bias"]) for n in "qkv")
        x = x + linear(_attention(q, k, v, heads=2), part["self_attn.out_proj.weight"], part["self_attn.out_proj.bias"])
        normed = layer_norm(x, x.shape[1:], part["layer_norm2.weight"], part["layer_norm2.bias"], 1e-6)
        inner = gelu(linear(normed, part["mlp.fc1.weight"], part["mlp.fc1.bias"]), approximate="tanh")
        x = x + linear(inner, part["mlp.fc2.weight"], part["mlp.fc2.bias"])
        layer += 1
    return layer_norm(x, x.shape[1:], state["vpm.post_layernorm.weight"], state["vpm.post_layernorm.bias"], 1e-6)


def _attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    width = q.shape[1] // heads
    parts = [slice(head * width, (head + 1) * width) for head in range(heads)]
    return torch.cat([(q[:, p] @ k[:, p].T / math.sqrt(width)).softmax(dim=1) @ v[:, p] for p in parts], dim=1)


def _resample(state: State, patches: Tensor, columns: int) -> Tensor:
    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, x.shape[1:], state[f"resampler.{name}.weight"], state[f"resampler.{name}.bias"], 1e-6)

    values = norm(patches @ state["resampler.kv_proj.weight"].T, "ln_kv")  # (n, D)
    width = values.shape[1]
    keys = values + torch.stack([position(*divmod(k, columns), width) for k in range(len(values))])
    attention = torch.nn.MultiheadAttention(width, max(1, width // 128))
    attention.load_state_dict(
        {name.removeprefix("resampler.attn."): value for name, value in state.items() if "resampler.attn." in name}
    )
    with torch.no_grad():
        attended, _ = attention(norm(state["resampler.query"], "ln_q"), keys, values)
    return norm(attended, "ln_post") @ state["resampler.proj"]
