"""Conversations as one model's own processor and chat template write them, and where in them the assistant speaks.

No architecture is known here. Two generic facts do:

- an assistant's turn runs from the template's generation prompt to the first end-of-turn token after it, whether or
  not the template marks it;
- what follows the image is the same tokens with and without the image in front, so turns are found from the *end* of
  a sequence, however many tokens an image takes.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from PIL.Image import Image
from PIL.Image import new as new_image
from torch import Tensor
from transformers import BatchFeature, ProcessorMixin

from m3agiqa.aspects import ASPECTS
from m3agiqa.errors import InputError
from m3agiqa.mllm.conversation import Conversation, conversation
from m3agiqa.spans import Span

NEAR = 32  # px: sides are rounded to a multiple, so that few blank images tell the lengths of any number


class Turns(NamedTuple):
    """A conversation's token ids, and where in them the assistant speaks."""

    ids: list[int]
    spans: list[Span]


class Labels(NamedTuple):
    """What is learned of a batch."""

    tokens: Tensor  # (B, T): the assistant's, end-of-turn included; -100 elsewhere
    last_turn: Tensor  # (B,): where in T the last answer begins


class Chat:
    """The processor of the model `name`, whose turns end with one of the tokens `ends`. Any thread may use it.

    A tokenizer remembers how it padded last, and changes that when it is asked for something else: in the middle of
    another thread's batch, which comes out padded on the wrong side or not at all. So each way of padding has a
    tokenizer of its own, which is never asked for anything else.
    """

    def __init__(self, processor: ProcessorMixin, ends: set[int], name: str) -> None:
        self.processor: Any = processor  # its parts are attributes that each class names for itself
        self.ends = ends
        self.name = name
        self.processor.tokenizer("")  # from here on as `_ids` asks, whatever its file says of padding and truncation
        self._image_lengths: dict[tuple[int, int], int] = {}
        self._padding = {side: _that_pads(processor, side) for side in ("left", "right")}

    def tensors(
        self,
        images: Sequence[Image],
        conversations: Sequence[Conversation],
        *,
        padding_side: str,
        answer: bool,
        views: Mapping[str, Any] = MappingProxyType({}),
    ) -> BatchFeature:
        """The model's inputs for one image a conversation; with `answer` it is the assistant's turn to speak.

        `views` are settings of the image processor, instead of the model's own.

        Raises:
            InputError: the image processor knows no such setting.
        """
        if unknown := views.keys() - self.processor.image_processor.valid_kwargs.__annotations__.keys():
            raise InputError(f"fewer_views: the image processor of {self.name} has no setting {min(unknown)}")
        texts = [self._render(messages, answer=answer) for messages in conversations]
        begin = self.processor.tokenizer.bos_token
        batch: BatchFeature = self._padding[padding_side](
            text=texts,
            images=[[image] for image in images],
            padding=True,
            padding_side=padding_side,
            # Some templates write the begin token themselves, and the tokenizer must not add another.
            add_special_tokens=begin is None or not texts[0].startswith(begin),
            return_tensors="pt",
            images_kwargs=dict(views),
        )
        return batch

    def length(self, messages: Conversation, *, answer: bool) -> int:
        """The number of tokens, the image's placeholder unexpanded."""
        return len(self._ids(messages, answer=answer))

    def image_length(self, size: tuple[int, int]) -> int:
        """About how many tokens an image of `size` (width, height) takes: as a blank one of about that size does."""
        near = max(NEAR, round(size[0] / NEAR) * NEAR), max(NEAR, round(size[1] / NEAR) * NEAR)
        if near not in self._image_lengths:
            messages = conversation(ASPECTS[0], "")
            try:
                batch = self.tensors([new_image("RGB", near)], [messages], padding_side="right", answer=True)
                self._image_lengths[near] = batch["input_ids"].shape[1] - self.length(messages, answer=True)
            except ValueError:  # the image processor takes no such shape, as it will say of the image itself
                self._image_lengths[near] = 0
        return self._image_lengths[near]

    @cached_property
    def second_question(self) -> int:
        """The tokens that follow a description until its rating word: the most that any aspect's take."""
        first = [self.length(conversation(aspect, ""), answer=True) for aspect in ASPECTS]
        whole = [self.length(conversation(aspect, "", ""), answer=True) for aspect in ASPECTS]
        return max(after - before for after, before in zip(whole, first, strict=True))

    def image_end(self, image: Image) -> int:
        """How many tokens of a sequence are the image's, and what stands before it, whatever is asked of the image."""
        messages = conversation(ASPECTS[0], "")
        ids = self.tensors([image], [messages], padding_side="right", answer=True)["input_ids"][0].tolist()
        text = self._ids(messages, answer=True)
        before = next(at for at, pair in enumerate(zip(ids, text, strict=False)) if pair[0] != pair[1])
        return int(before + len(ids) - len(text))

    def labels(self, batch: BatchFeature, conversations: Sequence[Conversation]) -> Labels:
        """What is learned of a right-padded batch."""
        labels, last = torch.full_like(batch["input_ids"], -100), []
        for row, messages in enumerate(conversations):
            ids, turns = self.turns(messages)
            shift = int(batch["attention_mask"][row].sum()) - len(ids)  # the tokens that the image adds
            first = turns[0][0]
            if batch["input_ids"][row, shift + first : shift + len(ids)].tolist() != ids[first:]:
                raise InputError(f"{self.name}: the processor's tokens after the image are not its tokenizer's")
            for start, end in turns:
                labels[row, shift + start : shift + end] = batch["input_ids"][row, shift + start : shift + end]
            last.append(shift + turns[-1].start)
        return Labels(labels, torch.tensor(last))

    def last_answer(self, messages: Conversation, length: int) -> Span:
        """Where the assistant's last turn stands in a conversation that ends with a question.

        `length` is the whole's number of tokens, the image's included. The end-of-turn token is part of the turn.
        """
        shift = length - len(self._ids(messages, answer=True))  # the tokens that the image adds
        start, end = self.turns(messages)[1][-1]
        return Span(shift + start, shift + end)

    def turns(self, messages: Conversation) -> Turns:
        """The token ids, the image's placeholder unexpanded, and where in them each assistant turn starts and ends.

        Raises:
            InputError: the chat template cannot be learned from: a turn does not begin as the generation prompt does,
                or does not end with a token that ends generation.
        """
        ids = self._ids(messages)
        turns = []
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._ids(messages[:index], answer=True)
            start, limit = len(before), min(len(self._ids(messages[: index + 1])), len(ids))
            if ids[:start] != before:
                raise InputError(f"{self.name}: its chat template writes an answer otherwise than it asks for one")
            end = next((at for at in range(start, limit) if ids[at] in self.ends), None)
            if end is None:
                raise InputError(f"{self.name}: its chat template does not end an answer with an end-of-turn token")
            turns.append(Span(start, end + 1))
        return Turns(ids, turns)

    def _ids(self, messages: Conversation, *, answer: bool = False) -> list[int]:
        text = self._render(messages, answer=answer)
        ids: list[int] = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _render(self, messages: Conversation, *, answer: bool) -> str:
        messages = [{**message, "content": [self._plain(part) for part in message["content"]]} for message in messages]
        text: str = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer)
        return text

    def _plain(self, part: dict[str, str]) -> dict[str, str]:
        """A prompt may hold "<image>" as words: "< image>" reads the same and is no control token."""
        if part["type"] != "text":
            return part
        return {**part, "text": self._control_tokens.sub(lambda found: f"{found[0][0]} {found[0][1:]}", part["text"])}

    @cached_property
    def _control_tokens(self) -> re.Pattern[str]:
        """The texts that this tokenizer reads as a control token; one character is a word that also serves to pad."""
        tokens = self.processor.tokenizer.added_tokens_decoder.values()
        texts = {str(token) for token in tokens if token.special and len(str(token)) > 1}
        return re.compile("|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)) or r"(?!)")


def _that_pads(processor: Any, side: str) -> Any:
    """The processor, with a tokenizer of its own that pads on this side already."""
    own = copy.copy(processor)
    own.tokenizer = copy.deepcopy(processor.tokenizer)
    own.tokenizer("", padding=True, padding_side=side)
    return own
