"""The resampler: a view's patches, as many as they are, become a fixed number of vectors for the language model.

Learned queries attend to the patches once. Keys know where they are by a two-dimensional sine-cosine embedding; values
do not.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from m3agiqa.mllm.minicpm_llama3_v_2_5.configuration import MiniCPMVConfig

HEAD_DIM = 128
EPS = 1e-6


class Resampler(nn.Module):
    """(S, L, vision width) → (S, Q, D) for S views of up to L patches, Q = `query_num` and D Llama's width."""

    def __init__(self, config: MiniCPMVConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.query = nn.Parameter(torch.empty(config.query_num, width))
        self.kv_proj = nn.Linear(config.vision.hidden_size, width, bias=False)
        self.attn = nn.MultiheadAttention(width, max(1, width // HEAD_DIM))
        self.ln_q = nn.LayerNorm(width, eps=EPS)
        self.ln_kv = nn.LayerNorm(width, eps=EPS)
        self.ln_post = nn.LayerNorm(width, eps=EPS)
        self.proj = nn.Parameter(torch.empty(width, width))

    def forward(self, patches: Tensor, tgt_sizes: Tensor) -> Tensor:
        """`tgt_sizes` (S, 2) holds each view's rows and columns; what is beyond rows · columns is padding."""
        views, length = patches.shape[:2]
        values = self.ln_kv(self.kv_proj(patches.to(self.kv_proj.weight.dtype)))  # (S, L, D)
        keys = values + grid_positions(tgt_sizes, length, values.shape[-1]).to(values.dtype)
        real = torch.arange(length, device=patches.device) < tgt_sizes.prod(dim=1, keepdim=True)  # (S, L)

        (w_q, w_k, w_v), (b_q, b_k, b_v) = self.attn.in_proj_weight.chunk(3), self.attn.in_proj_bias.chunk(3)
        queries = self._heads(linear(self.ln_q(self.query), w_q, b_q)[None])  # (1, heads, Q, 128): once for all views
        attended = scaled_dot_product_attention(
            queries.expand(views, -1, -1, -1),
            self._heads(linear(keys, w_k, b_k)),
            self._heads(linear(values, w_v, b_v)),
            attn_mask=real[:, None, None],  # (S, 1, 1, L)
        )  # (S, heads, Q, 128)
        vectors: Tensor = self.ln_post(self.attn.out_proj(attended.transpose(1, 2).flatten(2))) @ self.proj
        return vectors  # (S, Q, D)

    def _heads(self, x: Tensor) -> Tensor:
        """(S, T, D) → (S, heads, T, D / heads)."""
        heads: Tensor = x.unflatten(-1, (self.attn.num_heads, -1)).transpose(1, 2)
        return heads


def grid_positions(tgt_sizes: Tensor, length: int, width: int) -> Tensor:
    """(S, length, width) float32: where each patch of a rows × columns grid stands, the column's half first.

    Both halves come from one table of `length` places, more than any side of a grid of `length` patches: nothing is
    kept, and no size has to leave the device.
    """
    device = tgt_sizes.device
    places = torch.arange(length, device=device)
    omega = 10000.0 ** (-torch.arange(width // 4, device=device, dtype=torch.float32) / (width // 4))
    angles = places.float()[:, None] * omega  # (length, width / 4)
    table = torch.cat([angles.sin(), angles.cos()], dim=1)  # (length, width / 2)
    columns = tgt_sizes[:, 1:]  # (S, 1)
    return torch.cat([table[places % columns], table[places // columns]], dim=-1)
