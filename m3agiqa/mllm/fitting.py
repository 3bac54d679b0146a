"""A sequence that is longer than the model may read: what gives way, and in which order.

Never the question, and never a part of the image alone: first the whole image is taken in fewer views (slices, tiles,
pixels; a profile's `fewer_views` names the image processor's settings, one after the other), then the description
loses sentences from its end. Where nothing is left to give, the input is refused. What gives way is decided for each
image alone: neither its neighbours in a batch nor the number of processes change what is seen of it.
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


class TooLongError(InputError):
    """A conversation that does not fit, whatever gives way."""

    row = 0  # which of those that were given together


class MiniBatch(NamedTuple):
    """Some of the conversations that were given, as one forward pass takes them."""

    rows: list[int]  # which of them
    fits: list[Fitted]
    tensors: BatchFeature


@dataclass(frozen=True)
class Fitter:
    """Makes batches of which no row is longer than `max_length` tokens."""

    chat: Chat
    max_length: int
    fewer_views: Sequence[dict[str, Any]]

    def batches(
        self,
        images: Sequence[Image],
        conversations: Sequence[Conversation],
        *,
        padding_side: str,
        answer: bool,
        reserve: int = 0,
    ) -> Iterator[MiniBatch]:
        """All rows as one batch, or a batch for each level among them.

        With `answer` it is the assistant's turn to speak; `reserve` tokens are to come.

        Raises:
            TooLongError: a conversation does not fit, whatever gives way.
        """
        batch = self._tensors(images, conversations, 0, padding_side, answer=answer)
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        fits = [Fitted(messages, 0, shortened=False) for messages in conversations]
        if max(lengths) + reserve <= self.max_length:
            yield MiniBatch(list(range(len(images))), fits, batch)
            return
        for row, length in enumerate(lengths):
            if length + reserve > self.max_length:
                try:
                    fits[row] = self.fit(images[row], conversations[row], answer=answer, reserve=reserve)
                except TooLongError as error:
                    error.row = row
                    raise
        for level in sorted({fit.level for fit in fits}):
            rows = [row for row, fit in enumerate(fits) if fit.level == level]
            chosen = [fits[row] for row in rows]
            texts = [fit.conversation for fit in chosen]
            some = [images[row] for row in rows]
            yield MiniBatch(rows, chosen, self._tensors(some, texts, level, padding_side, answer=answer))

    def fit(self, image: Image, messages: Conversation, *, answer: bool, reserve: int = 0) -> Fitted:
        """How one conversation fits.

        Raises:
            TooLongError: it does not, whatever gives way.
        """
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
            raise TooLongError(
                f"a conversation of {length(messages, levels)} tokens{to_come} does not fit max_length "
                f"{self.max_length}; it begins: {messages[0]['content'][-1]['text'][:200]!r}"
            )
        return fit

    def lengths(self, sizes: Sequence[tuple[int, int]], conversations: Sequence[Conversation]) -> list[int]:
        """About how many tokens each sequence has before anything gives way, to put together what is alike.

        Of an image its size (width, height) in pixels is enough. It is the assistant's turn to speak.
        """
        pairs = zip(sizes, conversations, strict=True)
        return [self.chat.image_length(size) + self.chat.length(messages, answer=True) for size, messages in pairs]

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
