"""What makes a large model fast on a GPU. A small one, or one on a CPU, runs as it comes.

A pass over whole sequences is bound by matrix products; what lies between them (norms, activations, rotations) is
compiled into few kernels, once for all blocks of a kind. A generation step is bound by reading the weights; the rest
of it is thousands of small kernels, which a CUDA graph starts at once, and the cache, which a compiled step would
write out four times for Llama's grouped queries before it reads it.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

LARGE = 1_000_000_000  # parameters; below, compiling takes longer than it saves on a few thousand images


def worth_it(network: PreTrainedModel) -> bool:
    """Whether the network is large and on a GPU."""
    return network.device.type == "cuda" and network.num_parameters() >= LARGE


def compile_blocks(network: nn.Module) -> None:
    """Compile, in place, the members of each list of equal blocks: half a minute, whatever their number."""
    for blocks in network.modules():
        if isinstance(blocks, nn.ModuleList) and len(blocks) > 1 and len({type(block) for block in blocks}) == 1:
            for block in blocks:
                block.compile()


def generate_by_graphs(network: PreTrainedModel, max_length: int) -> None:
    """Let `generate` use a static cache of `max_length` tokens, for which transformers compiles a step to a graph."""
    network.set_attn_implementation("grouped")
    network.generation_config.update(cache_implementation="static", max_cache_len=max_length)


def grouped_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Transformers' sdpa, but for one new token: the queries that share a key head stand in for a sequence.

    `query` (B, H, T, d), `key` and `value` (B, G, S, d), `attention_mask` (B, 1, T, S) or None. Returns (B, T, H, d).
    """
    groups, shared = key.shape[1], query.shape[1] // key.shape[1]
    if query.shape[2] > 1 or shared == 1:
        options = {"dropout": dropout, "scaling": scaling, **kwargs}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    folded = query.view(len(query), groups, shared, -1)  # (B, G, H / G, d)
    if attention_mask is not None:
        attention_mask = attention_mask.expand(-1, groups, shared, -1)
    attended = scaled_dot_product_attention(folded, key, value, attention_mask, scale=scaling)
    return attended.reshape(len(query), 1, groups * shared, -1), None


AttentionInterface.register("grouped", grouped_attention)
AttentionMaskInterface.register("grouped", sdpa_mask)
