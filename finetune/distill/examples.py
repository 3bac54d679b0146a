"""What distillation learns from: images and whole conversations about them, and the tensors that are made of both.

Nothing here holds a network, so that the processes that read ahead for a GPU can be given all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from PIL.Image import Image
from torch import Tensor

from finetune.student import naming
from m3agiqa.images import load_image
from m3agiqa.mllm.conversation import Conversation, conversation, word_of
from m3agiqa.mllm.fitting import Fitter


class Example(NamedTuple):
    """An image, and a whole conversation about it to learn from."""

    image: Image
    conversation: Conversation


@dataclass(frozen=True)
class Examples:
    """The images of one part of the split, read from disk when needed, and their conversations about one aspect.

    Round 1 is the teacher's explanation, round 2 the word that the MOS gives. `rows` has `path` (below `folder`),
    `prompt`, the explanation in a column of the aspect's name, and `mos_<aspect>`.
    """

    folder: Path
    aspect: str
    rows: pd.DataFrame

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row, aspect = self.rows.iloc[index], self.aspect
        chat = conversation(aspect, row["prompt"], row[aspect], word_of(row[f"mos_{aspect}"]))
        return Example(load_image(self.folder / row["path"]), chat)

    def is_shortened(self, index: int, fitter: Fitter) -> bool:
        """Whether the explanation loses sentences for the sequence to fit.

        Raises:
            InputError: naming the image: it is damaged, or its conversation does not fit, whatever gives way.
        """
        with naming([self.folder / self.rows.iloc[index]["path"]]):
            return fitter.fit(*self[index], answer=False).shortened


@dataclass(frozen=True)
class Collator:
    """Makes tensors of examples: right-padded, on the CPU, a set for each number of views that images are taken in.

    How an image is taken is decided for it alone, as when it is described. `labels` (B, T) holds the assistant's
    tokens, each turn's end-of-turn token included, and -100 elsewhere.
    """

    fitter: Fitter
    dtype: torch.dtype  # the model's

    def __call__(self, examples: Sequence[Example]) -> list[dict[str, Tensor]]:
        images, conversations = zip(*examples, strict=True)
        batches = []
        for _, fits, tensors in self.fitter.batches(images, conversations, padding_side="right", answer=False):
            labels = self.fitter.chat.labels(tensors, [fit.conversation for fit in fits])
            batches.append({**tensors.to(dtype=self.dtype), "labels": labels})
        return batches
