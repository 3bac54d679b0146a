"""What a language model is shown of an image: the vision tower's output, through the connector, a vector a token.

A judge that has no language at all could still read it, so it is what the way through language is measured by.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from m3agiqa.mllm import gpu


@contextmanager
def shown(decoder: nn.Module) -> Iterator[list[Tensor]]:
    """The inputs (B, T, D) of the language model's layers, in each pass that is made meanwhile."""
    found: list[Tensor] = []

    def keep(_: nn.Module, __: tuple[Any, ...], given: dict[str, Any]) -> None:
        found.append(given["inputs_embeds"])

    handle = decoder.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield found
    finally:
        handle.remove()


def moments(inputs: Tensor, are_image: Tensor) -> Tensor:
    """(B, T, D), and which of the tokens are an image's, (B, T) on the CPU -> (B, 2 D) float32: mean and spread."""
    rows: Sequence[Tensor] = [
        each[gpu.pinned(mask.nonzero().squeeze(1), inputs.device).to(inputs.device, non_blocking=True)].float()
        for each, mask in zip(inputs, are_image, strict=True)
    ]  # (tokens of the image, D) each
    return torch.stack([torch.cat([row.mean(dim=0), row.std(dim=0, correction=0)]) for row in rows])
