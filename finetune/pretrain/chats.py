"""Chats about a picture, as the embedded models learn from them: rows of tokens of one length.

A conversation of several rounds is also every shorter one: with causal attention its beginning does not know how it
goes on.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from tokenizers import Tokenizer

from data.synthetic.captions import Turn
from finetune.pretrain.tokenizer import BOS, END, LATER_WORDS, PAD

REPEAT = ('Repeat: "{}"', 'Say this once more: "{}"', "Repeat these words: {}")


class TokenRows(NamedTuple):
    """Chats as rows of one length."""

    tokens: np.ndarray  # (n, length) int16
    answers: np.ndarray  # (n, length) bool: what an assistant says


def repetition(rng: Generator) -> Turn:
    """Words of the later task in random order, to be said once more: they get to be known as words, not as sights."""
    sentences = []
    for _ in range(rng.integers(1, 4)):
        words = [str(word) for word in rng.choice(LATER_WORDS, rng.integers(1, 13))]
        words = [word + ("," if rng.random() < 0.1 else "") for word in words]
        sentences.append(" ".join(words).rstrip(",").capitalize() + ".")
    if rng.random() < 0.2:
        sentences = [sentences[0].lower().rstrip(".")]  # a bare word or phrase, as the later ratings are
    text = " ".join(sentences)
    return Turn(str(rng.choice(REPEAT)).replace("{}", text), text)


def pieces(turns: Sequence[Turn], image: str, *, ask: bool = False) -> list[str]:
    """A chat as the template writes it, cut where the speaker changes: user, assistant, user, …

    The cuts are where the tokenizer cuts anyway, so the pieces' tokens are the whole's. `image` is what
    the processor makes of one <image>. `ask` leaves out the last answer: that is for the model to say.
    """
    cut = []
    for place, (question, answer) in enumerate(turns):
        opening = f"{BOS}User:{image}" if place == 0 else "\nUser:"
        cut += [f"{opening} {question}{END}\nAssistant:", f" {answer}{END}"]
    return cut[:-1] if ask else cut


def rows(chats: Sequence[Sequence[Turn]], tokenizer: Tokenizer, image: str, length: int) -> TokenRows:
    """Token rows and which of the tokens an assistant says. Only whole turns: what does not fit is left out."""
    cut = [pieces(turns, image) for turns in chats]
    tokenizer.no_padding()  # a setting that earlier calls may have left behind
    encoded = iter(tokenizer.encode_batch([piece for parts in cut for piece in parts], add_special_tokens=False))
    tokens = np.full((len(chats), length), tokenizer.token_to_id(PAD), np.int16)
    answers = np.zeros((len(chats), length), bool)
    for row, parts in enumerate(cut):
        ids = [next(encoded).ids for _ in parts]
        at = 0
        for user, assistant in zip(ids[::2], ids[1::2], strict=True):
            middle, end = at + len(user), at + len(user) + len(assistant)
            if end <= length:  # otherwise a later, shorter turn may still fit
                tokens[row, at:end] = user + assistant
                answers[row, middle:end] = True
                at = end
    return TokenRows(tokens, answers)
