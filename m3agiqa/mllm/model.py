"""The local multimodal language model (MLLM): any Hugging Face vision-language model behind one small interface.

Nothing here knows an architecture: the model's own processor and chat template write its inputs (m3agiqa/mllm/chat.py),
and `model.base_model` is the network without the vocabulary head, so that hidden states cost no logits.

A causal model reads a right-padded sequence exactly as it reads it alone; generation needs the new token next to the
last one, so it pads on the left.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from peft import PeftModel
from PIL.Image import Image
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from m3agiqa.files import fingerprint
from m3agiqa.mllm import adapters, gpu
from m3agiqa.mllm.chat import Chat
from m3agiqa.mllm.conversation import RATING_WORDS, Conversation
from m3agiqa.mllm.fitting import Fitter
from m3agiqa.mllm.loading import load
from m3agiqa.mllm.packed import attend_at_once
from m3agiqa.mllm.profile import Lora, Profile
from m3agiqa.mllm.rating import rating, word_tokens
from m3agiqa.mllm.readings import Inputs, Reading, Written
from m3agiqa.mllm.vision import Shown


@dataclass
class LocalMLLM:
    """A vision-language model, its processor, and the longest sequence that it may be given."""

    model: PreTrainedModel | PeftModel
    processor: ProcessorMixin
    max_length: int
    device: torch.device
    name: str  # hub id or folder, as given
    identity: str  # SHA-256 of what was loaded: weights, revision, dtype, adapter, fewer views from which length on
    fewer_views: Sequence[dict[str, Any]] = ()  # settings of the image processor, for sequences that do not fit
    graph: gpu.StepGraph | None = None  # where generation runs as one
    base: Sequence[Any] = ()  # what names the model under the adapter: its weights and their dtype
    beside: str | None = None  # where several share the model: the name under which this one's adapter lies on it
    turn: Lock = field(default_factory=Lock, repr=False)  # to pass: two threads cannot compile at the same time

    @classmethod
    def load(cls, profile: Profile, *, device: str, adapter: Path | None = None) -> "LocalMLLM":
        """The model of `profile` with the `adapter` in that folder on it, on `device`.

        The profile's `fewer_views` are settings of its image processor, each to take an image in fewer tokens than the
        one before, for a sequence longer than `max_length`; a description then loses sentences, too
        (m3agiqa/mllm/fitting.py).

        Raises:
            InputError: the model or the adapter is not there or not usable, or a setting does not fit it.
        """
        network: Any  # what `to` and an adapter make of it has other types
        network, processor, source = load(profile)
        base = source, profile.dtype
        hashes = []
        if adapter is not None:
            hashes, network = adapters.hashes(adapter), adapters.lay_on(network, adapter)
        network = network.to(device).eval()
        mllm = cls(
            model=network,
            processor=processor,
            max_length=profile.max_length,
            device=torch.device(device),
            name=profile.model,
            identity=_identity(base, hashes, profile.max_length, profile.fewer_views),
            fewer_views=profile.fewer_views,
            base=base,
        )
        if gpu.worth_it(mllm._network):
            mllm.graph = gpu.StepGraph(mllm._network)
            attend_at_once(mllm._network)
        return mllm

    def sharing(self, name: str, adapter: Path | None) -> "LocalMLLM":
        """Another MLLM with the same model, and the plain LoRA `adapter` in that folder on it, or none.

        Those made so from one MLLM take turns, pass by pass, and none of them learns; their origin is for nothing else.

        Raises:
            InputError: the adapter is not there or not usable. The model is then spoilt for further ones.
        """
        hashes = []
        if adapter is not None:
            hashes = adapters.hashes(adapter)
            self.model = adapters.lay_on(self.model, adapter, name)
        return replace(self, identity=_identity(self.base, hashes, self.max_length, self.fewer_views), beside=name)

    def compile(self) -> None:
        """For many passes without a cache, as `read` and training make them: compile what is worth it (gpu.py)."""
        if gpu.worth_compiling(self._network):
            gpu.compile_blocks(self._network)

    def compute_twice(self) -> None:
        """To learn with fewer activations in memory, in more time (gpu.py); an InputError where the model cannot."""
        gpu.compute_twice(self._network, compiled=gpu.worth_compiling(self._network))

    @property
    def hidden_size(self) -> int:
        """D of the hidden states."""
        return int(self._network.config.get_text_config().hidden_size)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights, and of the hidden states."""
        dtype: torch.dtype = self._network.dtype
        return dtype

    def add_lora(self, lora: Lora, *, seed: int) -> PeftModel:
        """Freeze the model and add trainable LoRA matrices, or go on with those of the adapter that lies on it.

        The `modules_to_save` are trained in full. What is trained is float32 whatever the model's dtype: updates of
        1e-6 would be lost in bfloat16.

        Raises:
            InputError: a target or a module to save is not in the model, or the adapter has other settings.
        """
        if isinstance(self.model, PeftModel):
            adapters.go_on(self.model, lora)
        else:
            self.model = adapters.make(self.model, self.name, lora, seed=seed)
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        return self.model

    def questions(self, images: Sequence[Image], asked: Sequence[Conversation], max_new_tokens: int) -> list[Inputs]:
        """What `answers` takes: conversations that end with a question, as tokens, made on the CPU by any thread."""
        return self._inputs(images, asked, padding_side="left", reserve=max_new_tokens + self._chat.second_question)

    @torch.inference_mode()
    def answers(self, questions: Sequence[Inputs], max_new_tokens: int) -> list[Written]:
        """The answer to each question: greedy, one batch, KV cache."""
        adapters.act(self._network, self.beside)
        said: dict[int, Written] = {}
        for inputs in questions:
            given = gpu.on_device(inputs.tensors, self.device)
            rows, length = given["input_ids"].shape
            how = self.graph.options(rows, length + max_new_tokens) if self.graph else {}
            tokens = self.model.eval().generate(**given, max_new_tokens=max_new_tokens, use_cache=True, **how)
            answers = tokens[:, length:]  # (B, new)
            texts = self.processor.batch_decode(answers, skip_special_tokens=True)
            for row, text, answer in zip(inputs.rows, texts, answers.tolist(), strict=True):
                said[row] = Written(text.strip(), ended=not self._chat.ends.isdisjoint(answer))
        return [said[row] for row in sorted(said)]

    @torch.inference_mode()
    def look(self, several: Sequence[Inputs]) -> list[Tensor]:
        """The hidden states (T, D) of conversations that end with a question, from one pass and nothing written.

        `read` gives the same for the same beginning, for no token knows what comes after it; but an image that it takes
        in fewer views, to have room for a description, is taken here in as many as fit.
        """
        found: dict[int, Tensor] = {}
        for inputs in several:
            (states,) = gpu.on_host(self.device, self._states(inputs))  # (B, T, D)
            for row, each, length in zip(inputs.rows, states, inputs.lengths.tolist(), strict=True):
                found[row] = each[:length]
        return [found[row] for row in sorted(found)]

    def read(self, images: Sequence[Image], conversations: Sequence[Conversation]) -> list[Reading]:
        """Rating words and hidden states of described images; alone or in a batch, float32 states agree within 1e-5."""
        return self.read_inputs(self.inputs(images, conversations))

    def inputs(self, images: Sequence[Image], conversations: Sequence[Conversation]) -> list[Inputs]:
        """What `read` makes of its images first, and `look` takes: sliced and tokenised, on the CPU, by any thread."""
        return self._inputs(images, conversations, padding_side="right")

    def read_inputs(self, several: Sequence[Inputs], *, vision: bool = False) -> list[Reading]:
        """`read` of images whose inputs are made already; with `vision`, the readings have it, where the model tells.

        Threads may take turns, and a GPU goes on between them.
        """
        readings: dict[int, Reading] = {}
        for inputs in several:
            readings |= zip(inputs.rows, self._read(inputs, vision=vision), strict=True)
        return [readings[row] for row in sorted(readings)]

    def _states(self, inputs: Inputs, shown: Shown | None = None) -> Tensor:
        """(B, T, D), on the device."""
        batch = gpu.on_device(gpu.without_mask(inputs.tensors, self.device), self.device)
        with self.turn, shown or nullcontext():
            adapters.act(self._network, self.beside)
            self.model.eval()
            states: Tensor = self._network.base_model(**batch, use_cache=False).last_hidden_state
        return states

    def _read(self, inputs: Inputs, *, vision: bool) -> list[Reading]:
        lengths, shown = inputs.lengths, Shown(self._network) if vision else None  # (B,)
        with torch.inference_mode():
            states = self._states(inputs, shown)  # (B, T, D)
            seen = shown.moments(inputs.tensors["input_ids"]) if shown else None  # (B, 2 D)
            last = gpu.pinned(lengths - 1, self.device).to(self.device, non_blocking=True)  # (B,)
            ends = states[torch.arange(len(last), device=self.device), last]  # (B, D)
            said = rating(self._network.get_output_embeddings()(ends), self.word_tokens)
        states, choices, expected = gpu.on_host(self.device, states, *said)
        eyes = [None] * len(states) if seen is None else gpu.on_host(self.device, seen)[0]
        return [
            Reading(RATING_WORDS[choices[row]], float(expected[row]), states[row, :length], eyes[row], span, fit)
            for row, (length, span, fit) in enumerate(zip(lengths.tolist(), inputs.spans, inputs.fits, strict=True))
        ]

    def _inputs(self, images: Sequence[Image], conversations: Sequence[Conversation], **how: Any) -> list[Inputs]:
        made = []
        for rows, fits, batch in self.fitter.batches(images, conversations, answer=True, **how):
            lengths = batch["attention_mask"].sum(dim=1).tolist()
            spans = [
                self._chat.last_answer(fit.conversation, length)
                for fit, length in zip(fits, lengths, strict=True)
                if fit.description is not None
            ]
            given = batch.to(dtype=self._network.dtype)
            tensors = {name: gpu.pinned(tensor, self.device) for name, tensor in given.items()}
            made.append(Inputs(rows, fits, spans, tensors))
        return made

    @property
    def _network(self) -> Any:
        """The model itself; an adapter acts in its layers, so that nothing is lost without peft's wrapper."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    @cached_property
    def word_tokens(self) -> list[int]:
        """By which it says each of RATING_WORDS."""
        return word_tokens(self._chat, self.name)

    @cached_property
    def _chat(self) -> Chat:
        ends = self._network.generation_config.eos_token_id
        return Chat(self.processor, {ends} if isinstance(ends, int) else set(ends), self.name)

    @property
    def fitter(self) -> Fitter:
        """What makes the model's inputs; it needs no weights."""
        return Fitter(self._chat, self.max_length, self.fewer_views)


def _identity(base: Sequence[Any], hashes: Sequence[str], max_length: int, views: Sequence[dict[str, Any]]) -> str:
    return fingerprint([*base, hashes, *([max_length, *views] if views else [])])
