"""A sequence that is longer than the model may read: what gives way, and in which order.

Never the question, and never a part of the image alone: first the whole image is taken in fewer views (slices, tiles,
pixels; a profile's `fewer_views` names the image processor's settings, one after the other), then the description
loses sentences from its end. Where nothing is left to give, the input is refused.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL.Image import Image
from transformers import BatchFeature

from m3agiqa.errors import InputError
from m3agiqa.mllm.chat import Chat
from m3agiqa.mllm.conversation import Conversation

SENTENCE = re.compile(r"(?<=[.!?。！？])\s+")  # between two sentences


@dataclass(frozen=True)
class Fitted:
    """A conversation that fits."""

    conversation: Conversation
    level: int  # how the image is taken: 0 as the model's processor does, n as the n-th of `fewer_views` says
    shortened: bool  # its description ends earlier than it was written

    @property
    def description(self) -> str | None:
        """What is left of the description; None where there is none yet."""
        return self.conversation[1]["content"][0]["text"] if len(self.conversation) > 1 else None


def fitted(conversation: Conversation, levels: int, fits: Callable[[Conversation, int], bool]) -> Fitted | None:
    """The first that fits: the image at level 0, 1, … `levels`, then the description a sentence shorter, and so on.

    `fits(conversation, level)` tells. None where not even the description's first sentence does.
    """
    for level in range(levels + 1):
        if fits(conversation, level):
            return Fitted(conversation, level, shortened=False)
    if len(conversation) == 1:
        return None
    question, answer, *rest = conversation
    sentences = SENTENCE.split(answer["content"][0]["text"])
    for kept in range(len(sentences) - 1, 0, -1):
        part = {**answer["content"][0], "text": " ".join(sentences[:kept])}
        shorter = [question, {**answer, "content": [part]}, *rest]
        if fits(shorter, levels):
            return Fitted(shorter, levels, shortened=True)
    return None


class Example(NamedTuple):
    """An image, and a whole conversation about it to learn from."""

    image: Image
    conversation: Conversation


class MiniBatch(NamedTuple):
    """Some of the conversations that were given, as one forward pass takes them."""

    rows: list[int]  # which of them
    fits: list[Fitted]
    tensors: BatchFeature


class OneBatch(NamedTuple):
    """All conversations that were given, as they are in one forward pass."""

    tensors: BatchFeature
    conversations: list[Conversation]


class _Tried(NamedTuple):
    tensors: BatchFeature | None  # None where not all fit as they are
    fits: list[Fitted]


@dataclass(frozen=True)
class Fitter:
    """Makes batches of which no row is longer than `max_length` tokens."""

    chat: Chat
    max_length: int
    fewer_views: Sequence[dict[str, Any]]

    def batches(
        self, images: Sequence[Image], conversations: Sequence[Conversation], *, padding_side: str, reserve: int = 0
    ) -> Iterator[MiniBatch]:
        """Conversations that end with a question: all rows as one batch, or a batch for each level among them.

        `reserve` tokens are to come.

        Raises:
            InputError: a conversation does not fit, whatever gives way.
        """
        batch, fits = self._fit_all(images, conversations, padding_side=padding_side, answer=True, reserve=reserve)
        if batch is not None:
            yield MiniBatch(list(range(len(images))), fits, batch)
            return
        for level in sorted({fit.level for fit in fits}):
            rows = [row for row, fit in enumerate(fits) if fit.level == level]
            chosen = [fits[row] for row in rows]
            texts = [fit.conversation for fit in chosen]
            some = [images[row] for row in rows]
            yield MiniBatch(rows, chosen, self._tensors(some, texts, level, padding_side, answer=True))

    def one_batch(
        self, images: Sequence[Image], conversations: Sequence[Conversation], *, padding_side: str, answer: bool
    ) -> OneBatch:
        """One batch, at the level of the row that needs the highest.

        Raises:
            InputError: a conversation does not fit, whatever gives way.
        """
        batch, fits = self._fit_all(images, conversations, padding_side=padding_side, answer=answer, reserve=0)
        texts = [fit.conversation for fit in fits]
        if batch is None:
            batch = self._tensors(images, texts, max(fit.level for fit in fits), padding_side, answer=answer)
        return OneBatch(batch, texts)

    def _fit_all(
        self,
        images: Sequence[Image],
        conversations: Sequence[Conversation],
        *,
        padding_side: str,
        answer: bool,
        reserve: int,
    ) -> _Tried:
        """The batch if it fits as it is, else none; and how each row fits."""
        batch = self._tensors(images, conversations, 0, padding_side, answer=answer)
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        as_they_are = [Fitted(messages, 0, shortened=False) for messages in conversations]
        if max(lengths) + reserve <= self.max_length:
            return _Tried(batch, as_they_are)
        fits = [
            fit if length + reserve <= self.max_length else self._fit(image, fit.conversation, answer, reserve)
            for image, fit, length in zip(images, as_they_are, lengths, strict=True)
        ]
        return _Tried(None, fits)

    def _fit(self, image: Image, messages: Conversation, answer: bool, reserve: int) -> Fitted:
        views: dict[int, int] = {}  # tokens that the image adds at each level

        def length(conversation: Conversation, level: int) -> int:
            if level not in views:
                ids = self._tensors([image], [messages], level, "right", answer=answer)["input_ids"]  # (1, T)
                views[level] = ids.shape[1] - self.chat.length(messages, answer=answer)
            return self.chat.length(conversation, answer=answer) + views[level]

        levels = len(self.fewer_views)
        fit = fitted(messages, levels, lambda *tried: length(*tried) + reserve <= self.max_length)
        if fit is None:
            to_come = f" and {reserve} to be written" if reserve else ""
            raise InputError(
                f"a conversation of {length(messages, levels)} tokens{to_come} does not fit max_length "
                f"{self.max_length}; it begins: {messages[0]['content'][-1]['text'][:200]!r}"
            )
        return fit

    def _tensors(
        self,
        images: Sequence[Image],
        conversations: Sequence[Conversation],
        level: int,
        padding_side: str,
        *,
        answer: bool,
    ) -> BatchFeature:
        views = self.fewer_views[level - 1] if level else {}
        return self.chat.tensors(images, conversations, padding_side=padding_side, answer=answer, views=views)
