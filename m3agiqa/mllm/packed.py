"""Attention of a vision tower that has the views of a batch in a row: one kernel for all views, not one for each.

A tower with views of many sizes puts their patches in a row and keeps the bounds. Transformers' own attention there is
a loop: one call a view and layer, and in MiniCPM-V 4.6 one for every window of four patches. Its flash attention takes
the bounds themselves; that package's kernel is in torch, too (`varlen_attn`), and needs no other installation.
"""

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv

PACKED = "flash_packed"  # transformers hands the bounds to what is called flash
AMPERE = (8, 0)  # NVIDIA's compute capability, that flash attention asks for


def attentions(network: nn.Module) -> list[Any]:
    """The modules that attend to views in a row, whose bounds they have as `cu_seqlens`.

    Blocks and encoders around them only pass the bounds on; they do not say whether they are causal.
    """
    return [
        module
        for module in network.modules()
        if "cu_seqlens" in signature(type(module).forward).parameters and hasattr(module, "is_causal")
    ]


def one_view_at_a_time(network: nn.Module) -> list[Any]:
    """Those of `attentions` that go by a loop."""
    return [each for each in attentions(network) if each.config._attn_implementation != PACKED]  # noqa: SLF001 (its only name)


def attend_at_once(network: PreTrainedModel) -> None:
    """Give `attentions` the kernel, where it can be used: a GPU from Ampere on, floats of 16 bits, no dropout."""
    if network.device.type != "cuda" or network.dtype.itemsize != 2:
        return
    if torch.cuda.get_device_capability(network.device) < AMPERE:
        return
    for each in attentions(network):
        if not getattr(each.config, "attention_dropout", 0):
            each.config._attn_implementation = PACKED  # noqa: SLF001


def packed_attention(
    module: nn.Module,  # noqa: ARG001 (transformers' signature)
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,  # noqa: ARG001
    *,
    scaling: float,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention within each view.

    `query` (1, H, T, d), `key` and `value` (1, G, T, d), `cu_seq_lens_q` (views + 1). Returns (1, T, H, d).
    """
    key, value = (repeat_kv(each, query.shape[1] // key.shape[1]) for each in (key, value))
    query, key, value = (each.squeeze(0).transpose(0, 1) for each in (query, key, value))  # (T, H, d)
    bounds = cu_seq_lens_q.to(torch.int32)
    attended: Any = varlen_attn(query, key, value, bounds, bounds, max_length_q, max_length_q, scale=scaling)
    return attended[None], None


AttentionInterface.register(PACKED, packed_attention)
