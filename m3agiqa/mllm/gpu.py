"""What makes a large model fast on a GPU. A small one, or one on a CPU, runs as it comes.

A pass over whole sequences is bound by matrix products; what lies between them (norms, activations, rotations) is
compiled into few kernels, once for all blocks of a kind. A generation step is bound by reading the weights; the rest
of it is thousands of small kernels, which a CUDA graph starts at once, and the cache, which a compiled step would
write out four times for Llama's grouped queries before it reads it.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from types import FunctionType
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.generation.utils import DeferredStopCheck
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.modeling_layers import GradientCheckpointingLayer

from m3agiqa.errors import InputError
from m3agiqa.mllm.packed import one_view_at_a_time

CACHE_STRIDE = 128  # tokens
MEASURED = "5.23."  # versions of transformers, whose loop of generation StepGraph knows
VARIANTS = 64  # of a block's code; torch takes 8, and what comes after these runs as it comes
LINEAR = "linear_attn"  # transformers' name for it
LARGE = 1_000_000_000  # parameters; below, compiling takes longer than it saves on a few thousand images


def worth_it(network: PreTrainedModel) -> bool:
    """Whether the network is large and on a GPU."""
    return network.device.type == "cuda" and network.num_parameters() >= LARGE


def worth_compiling(network: PreTrainedModel) -> bool:
    """Whether its passes over whole sequences are, too: not where attention is linear.

    Linear attention is a loop over 64 tokens at a time. It would be compiled for each number of them, written out; what
    lies around it takes a minute, and a pass is then 6 % quicker (benchmarks/README.md).
    """
    return worth_it(network) and not any(name.endswith(f".{LINEAR}") for name, _ in network.named_modules())


def compile_blocks(network: nn.Module) -> None:
    """Compile, in place, the members of each list of equal blocks.

    On an H200 it takes ten seconds of MiniCPM-Llama3-V-2.5, whatever their number; of Qwen3-VL-2B, where it learns,
    more than 110.

    Lengths of sequences and numbers of views differ from batch to batch, so none is compiled for. What is: whether
    there is a mask, a gradient, a gradient of the input; and of each kind of block, for transformers wraps all kinds in
    one function, by which torch counts.
    """
    _set_compiler(network)
    for blocks in network.modules():
        if isinstance(blocks, nn.ModuleList) and len(blocks) > 1 and len({type(block) for block in blocks}) == 1:
            for block in blocks:
                block.compile(dynamic=True)


def compute_twice(network: PreTrainedModel, *, compiled: bool) -> None:
    """Keep only what goes into each block that learns, and compute the rest anew for the backward pass.

    Transformers asks for the gradient of every embedding with it, which torch's older way of doing so needs; the
    backward pass would then go through all of a frozen vision tower, for nothing.

    Raises:
        InputError: the network's kind cannot do it.
    """
    if not network.supports_gradient_checkpointing:
        raise InputError(f"runtime.activation_checkpointing: {type(network).__name__} cannot compute activations twice")
    network.activation_checkpointing_enable({"use_reentrant": False})
    network.disable_input_require_grads()
    if compiled:
        _set_compiler(network)
        blocks: list[Any] = [each for each in network.modules() if isinstance(each, GradientCheckpointingLayer)]
        for block in blocks:
            block._gradient_checkpointing_func = _compiled_within  # noqa: SLF001 (transformers sets it from outside, too)


def _compiled_within(block: partial[Any], *given: Any) -> Any:
    """Checkpoint a compiled block: with the checkpoint in its graph it does not compile (torch 2.11)."""
    return checkpoint(partial(_compiled(block.func), *block.args, **block.keywords), *given, use_reentrant=False)


@cache
def _compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(forward, dynamic=True)


def _set_compiler(network: nn.Module) -> None:
    """Attention to one view at a time runs as it comes: each number of views would be compiled for, all written out."""
    torch._dynamo.config.recompile_limit = VARIANTS  # noqa: SLF001 (it has no other name)
    torch._dynamo.config.optimize_ddp = False  # noqa: SLF001 (it would cut a block in two, for gradients to go earlier)
    for attention in one_view_at_a_time(network):
        attention.forward = torch.compiler.disable(attention.forward)


def without_mask(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Of right-padded sequences what a GPU is given: all but the mask.

    No token sees what comes after it, so none that counts sees padding, masked or not. Without a mask attention takes
    its quickest kernels, and transformers does not wait for the device to look whether anything is masked.
    """
    return {name: tensor for name, tensor in tensors.items() if name != "attention_mask" or device.type != "cuda"}


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """In page-locked memory, from where a GPU fetches it without anybody waiting."""
    return tensor.pin_memory() if device.type == "cuda" else tensor


def on_device(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Copies there, for which nobody waits where a tensor is `pinned`."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}


def on_host(device: torch.device, *tensors: Tensor) -> list[Tensor]:
    """Copies that a head may be trained on, made out of inference mode; waits for these tensors and no others."""
    on_gpu = device.type == "cuda"
    copies = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=on_gpu) for tensor in tensors]
    for copy, tensor in zip(copies, tensors, strict=True):
        copy.copy_(tensor, non_blocking=True)
    if on_gpu:
        torch.cuda.current_stream(device).record_event().synchronize()  # a thread begins on the first GPU
    return copies


class LateStop(DeferredStopCheck):
    """Looks a step late whether all sequences have ended, so that the host never waits for the device.

    On CUDA too, where transformers does it on Apple's GPUs alone; what came after the end is taken back.
    """

    @staticmethod
    def is_supported(device: torch.device, *args: Any, **kwargs: Any) -> bool:
        """Whether it can be done in this generation."""
        return DeferredStopCheck.is_supported(torch.device("mps") if device.type == "cuda" else device, *args, **kwargs)


def stopping_late(network: PreTrainedModel) -> dict[str, Any]:
    """The argument of `generate` for it: the network's own loop, in which the name of the check stands for ours.

    Transformers itself stays as it is, for this model's other callers and for other models. Another version than the
    one that this was measured with may have another loop, and keeps it.
    """
    if not transformers.__version__.startswith(MEASURED):
        return {}
    kind: Any = type(network)
    loop = kind._sample  # noqa: SLF001 (what `generate` would take)
    ours = FunctionType(loop.__code__, {**loop.__globals__, DeferredStopCheck.__name__: LateStop}, loop.__name__)
    ours.__defaults__, ours.__kwdefaults__ = loop.__defaults__, loop.__kwdefaults__
    return {"custom_generate": ours}


class StepGraph:
    """Lets `generate` run a step as one CUDA graph, for which transformers compiles with a static cache.

    Each size of batch and length of cache is compiled for anew, half a minute every time. So the cache grows in strides
    and never shrinks, which transformers sees to, and a batch smaller than the largest so far runs as it comes.
    """

    def __init__(self, network: PreTrainedModel) -> None:
        network.set_attn_implementation("grouped")
        network.generation_config.update(cache_implementation="static")
        self.late = stopping_late(network)
        self.rows = 0

    def options(self, rows: int, tokens: int) -> dict[str, Any]:
        """Arguments of `generate` for `rows` sequences of `tokens` tokens at most, the new ones among them."""
        self.rows = max(self.rows, rows)
        length = -(-tokens // CACHE_STRIDE) * CACHE_STRIDE
        return {"max_cache_len": length, "disable_compile": rows < self.rows, **self.late}


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

    `query` (B, H, T, d), `key` and `value` (B, G, S, d), `attention_mask` (B, 1, T, S) of bool or None. Returns
    (B, T, H, d). Two plain products read a cache of 1,024 tokens in 45 µs on an H200, torch's own attention in 65.
    They know no bias by position, which sdpa takes.
    """
    groups, shared = key.shape[1], query.shape[1] // key.shape[1]
    if query.shape[2] > 1 or shared == 1:
        options = {"dropout": dropout, "scaling": scaling, **kwargs}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    folded = query.view(len(query), groups, shared, -1)  # (B, G, H / G, d)
    scores = folded @ key.transpose(2, 3) * (scaling or query.shape[3] ** -0.5)  # (B, G, H / G, S)
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, -torch.inf)
    attended = scores.float().softmax(dim=3).to(value.dtype) @ value
    return attended.reshape(len(query), 1, groups * shared, -1), None


AttentionInterface.register("grouped", grouped_attention)
AttentionMaskInterface.register("grouped", sdpa_mask)
