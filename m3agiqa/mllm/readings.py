"""What goes into a local MLLM, and what comes out of it."""

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from m3agiqa.mllm.fitting import Fitted
from m3agiqa.spans import Span


@dataclass(frozen=True)
class Reading:
    """What one forward pass over image + Q1 + description + Q2 gives."""

    word: str
    expected: float  # 0-5: the words' middles, weighted by how likely each word is (Q-Align, arXiv 2312.17090)
    states: Tensor  # (T, D): what the vocabulary head would see, padding left out
    vision: Tensor | None  # (2 D,) float32, where asked for: mean and spread of what the language model is shown of it
    description: Span  # where in T the description stands, its end-of-turn token included
    fitted: Fitted  # the conversation as it was read


class Written(NamedTuple):
    """What the model wrote about an image."""

    text: str
    ended: bool  # by itself; False where `max_new_tokens` cut it off


@dataclass(frozen=True)
class Inputs:
    """One forward pass's worth of images, on the CPU."""

    rows: list[int]  # which of the images that were given
    fits: list[Fitted]  # their conversations, as they fit
    spans: list[Span]  # where in each sequence its description stands; none where it is yet to be written
    tensors: dict[str, Tensor]  # the model's

    @property
    def lengths(self) -> Tensor:
        """(B,): how many tokens of each sequence are no padding."""
        return self.tensors["attention_mask"].sum(dim=1)
