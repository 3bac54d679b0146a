"""What a language model is shown of an image: the vision tower's output, through the connector, a vector a token.

No layer of the language model has read it yet, so a regressor on it shows what the way through language is worth.
"""

from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from transformers import PreTrainedModel

from m3agiqa.mllm import gpu


class Shown:
    """While it is entered, it keeps what the language model of `network` is given."""

    def __init__(self, network: PreTrainedModel) -> None:
        self._network: Any = network
        self._token: int | None = getattr(network.config, "image_token_id", None)  # in whose places vectors stand
        self._inputs: Tensor | None = None  # (B, T, D)

    def __enter__(self) -> Self:
        self._hook = self._network.get_decoder().register_forward_pre_hook(self._keep, with_kwargs=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hook.remove()

    def moments(self, tokens: Tensor) -> Tensor | None:
        """The tokens (B, T), on the CPU -> (B, 2 D) float32: mean and spread of each image's vectors.

        None where the model does not tell them: its configuration names no token of images, or its language model is
        given tokens and no vectors. NaN for an image without any.
        """
        if self._inputs is None or self._token is None:
            return None
        where = self._inputs.device
        rows = [
            each[gpu.pinned(mask.nonzero().squeeze(1), where).to(where, non_blocking=True)].float()
            for each, mask in zip(self._inputs, tokens == self._token, strict=True)
        ]  # (tokens of the image, D) each
        return torch.stack([torch.cat([row.mean(dim=0), row.std(dim=0, correction=0)]) for row in rows])

    def _keep(self, _: Any, __: Any, given: dict[str, Any]) -> None:
        self._inputs = given.get("inputs_embeds")
