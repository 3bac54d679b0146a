"""The rating word: by which tokens an MLLM says it, which one it says, and how it weighs all five."""

from typing import NamedTuple

import torch
from torch import Tensor

from m3agiqa.errors import InputError
from m3agiqa.mllm.chat import Chat
from m3agiqa.mllm.conversation import RATING_WORDS, WORD_MIDDLES, conversation


class Rating(NamedTuple):
    """Of each image of a batch."""

    choices: Tensor  # (B,): which of RATING_WORDS
    expected: Tensor  # (B,), 0-5: their middles, weighted by how likely each is


def rating(logits: Tensor, tokens: list[int]) -> Rating:
    """(B, V), what the vocabulary head says where the word stands, and the words' first tokens."""
    likely = torch.stack([logits[:, token] for token in tokens], dim=1).float()  # (B, words)
    return Rating(likely.argmax(dim=1), likely.softmax(dim=1) @ likely.new_tensor(WORD_MIDDLES))


def word_tokens(chat: Chat, name: str) -> list[int]:
    """The first token of each of RATING_WORDS, where the template puts it.

    Raises:
        InputError: two words begin with one token.
    """
    tokens = []
    for word in RATING_WORDS:
        ids, turns = chat.turns(conversation("quality", "", "", word))
        tokens.append(ids[turns[-1].start])
    if len(set(tokens)) < len(tokens):
        raise InputError(f"{name}: its tokenizer begins two rating words with one token: {tokens}")
    return tokens
