"""What distillation learns from: images and whole conversations about them, and the tensors that are made of both.

Nothing here holds a network, so that the processes that read ahead for a GPU can be given all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL.Image import Image
from torch import Tensor

from finetune.distill.crops import part_of
from finetune.distill.words import word_shares
from finetune.student import naming
from m3agiqa.images import image_size, load_image
from m3agiqa.mllm.conversation import Conversation, conversation, description_of, word_of
from m3agiqa.mllm.fitting import Fitter

CHARACTERS = 4  # a token, about, in English


class Example(NamedTuple):
    """An image, a whole conversation about it to learn from, and the score that its last word stands for."""

    image: Image
    conversation: Conversation
    mos: float  # on the 0-5 scale


@dataclass(frozen=True)
class Examples:
    """The images of one part of the split, read from disk when needed, and their conversations about one aspect.

    Round 1 is the teacher's explanation, round 2 the word that the MOS gives. `rows` has `path` (below `folder`),
    `prompt`, the explanations in columns of the aspects' names, and `mos_<aspect>`. `crop` is the least part of an
    image's sides that is shown where it is learned from (finetune/distill/crops.py).

    Round 1 is about the aspects `described`, and where none is named about `aspect`. An image that one of them was not
    explained of is asked about the others alone, so that no answer leaves out what the question asks for.
    """

    folder: Path
    aspect: str
    rows: pd.DataFrame
    crop: float = 1.0
    seed: int = 0
    described: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row, aspect = self.rows.iloc[index], self.aspect
        mos = float(row[f"mos_{aspect}"])
        texts = {name: row[name] for name in self.described or [aspect] if pd.notna(row[name])}
        chat = conversation(aspect, row["prompt"], description_of(texts), word_of(mos), described=list(texts))
        return Example(load_image(self.folder / row["path"]), chat, mos)

    def lengths(self, fitter: Fitter) -> list[int]:
        """About how many characters each example's explanation has, and its image, seen whole, would have as a text."""
        texts = self.rows[list(self.described or [self.aspect])].fillna("")
        images = [fitter.chat.image_length(image_size(self.folder / path)) for path in self.rows["path"]]
        lengths: list[int] = (texts.map(len).sum(axis=1) + CHARACTERS * np.array(images)).tolist()
        return lengths

    def shown(self, index: int, place: int) -> Example:
        """The example as it is learned from at its `place` in the order of the run."""
        example = self[index]
        return example._replace(image=part_of(example.image, self.crop, self.seed, place))

    def is_shortened(self, index: int, fitter: Fitter) -> bool:
        """Whether the explanation loses sentences for the sequence to fit, the image shown whole.

        Raises:
            InputError: naming the image: it is damaged, or its conversation does not fit, whatever gives way.
        """
        with naming([self.folder / self.rows.iloc[index]["path"]]):
            image, chat, _ = self[index]
            return fitter.fit(image, chat, answer=False).shortened


@dataclass(frozen=True)
class Collator:
    """Makes tensors of examples: right-padded, on the CPU, a set for each number of views that images are taken in.

    How an image is taken is decided for it alone, as when it is described. `labels` (B, T) holds the assistant's
    tokens, each turn's end-of-turn token included, and -100 elsewhere. The first token of the last turn, the rating
    word, is not among them: it stands at `word_at` (B,), and is learned as `word_weights` (B, words) of the tokens
    `word_tokens` (B, words), which add up to `word_weight` (finetune/distill/words.py). `logits_at` (K,) are the places
    before what is learned in any row. `mos` (B,) is what people say.
    """

    fitter: Fitter
    dtype: torch.dtype  # the model's
    word_tokens: Sequence[int]  # the first of each rating word, from the worst word to the best
    word_weight: float  # how many of the text's tokens a word counts for
    word_spread: float

    def __call__(self, examples: Sequence[Example]) -> list[dict[str, Tensor]]:
        images, conversations, scores = zip(*examples, strict=True)
        weights = torch.tensor(
            self.word_weight * np.stack([word_shares(mos, self.word_spread) for mos in scores]), dtype=torch.float32
        )
        batches = []
        for rows, fits, tensors in self.fitter.batches(images, conversations, padding_side="right", answer=False):
            labels, at = self.fitter.chat.labels(tensors, [fit.conversation for fit in fits])
            labels[torch.arange(len(rows)), at] = -100
            before = (labels[:, 1:] != -100).any(dim=0)
            before[at - 1] = True
            words = torch.tensor(self.word_tokens).repeat(len(rows), 1)
            learned = {"labels": labels, "word_at": at, "word_tokens": words, "word_weights": weights[rows]}
            learned["logits_at"] = before.nonzero().flatten()
            learned["mos"] = torch.tensor([scores[row] for row in rows], dtype=torch.float32)
            batches.append({**tensors.to(dtype=self.dtype), **learned})
        return batches
