"""The local multimodal language model (MLLM): any Hugging Face vision-language model behind one small interface.

Nothing here knows an architecture: the model's own processor and chat template write its inputs (m3agiqa/mllm/chat.py),
and `model.base_model` is the network without the vocabulary head, so that hidden states cost no logits.

A causal model reads a right-padded sequence exactly as it reads it alone; generation needs the new token next to the
last one, so it pads on the left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from PIL.Image import Image
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from m3agiqa.errors import InputError
from m3agiqa.files import fingerprint
from m3agiqa.mllm import adapters, gpu
from m3agiqa.mllm.chat import Chat
from m3agiqa.mllm.conversation import RATING_WORDS, WORD_MIDDLES, Conversation, conversation
from m3agiqa.mllm.fitting import Fitter
from m3agiqa.mllm.loading import load
from m3agiqa.mllm.profile import Lora, Profile
from m3agiqa.mllm.readings import Inputs, Reading, Written


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
        hashes = []
        if adapter is not None:
            hashes = adapters.hashes(adapter)
            network = adapters.lay_on(network, adapter)
        views = [profile.max_length, *profile.fewer_views] if profile.fewer_views else []
        network = network.to(device).eval()
        return cls(
            model=network,
            processor=processor,
            max_length=profile.max_length,
            device=torch.device(device),
            name=profile.model,
            identity=fingerprint([source, profile.dtype, hashes, *views]),
            fewer_views=profile.fewer_views,
            graph=gpu.StepGraph(network) if gpu.worth_it(network) else None,
        )

    def compile(self, *, activation_checkpointing: bool = False) -> None:
        """For many passes without a cache, as `read` and training make them: compile what is worth it (gpu.py)."""
        if gpu.worth_it(self._network):
            gpu.compile_blocks(self._network, activation_checkpointing=activation_checkpointing)

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

    def describe(
        self, images: Sequence[Image], conversations: Sequence[Conversation], max_new_tokens: int
    ) -> list[str]:
        """The answers to conversations that end with a question: greedy, one batch, KV cache."""
        questions = self.questions(images, conversations, max_new_tokens)
        return [written.text for written in self.answers(questions, max_new_tokens)]

    def questions(
        self, images: Sequence[Image], conversations: Sequence[Conversation], max_new_tokens: int
    ) -> list[Inputs]:
        """What `describe` makes of its images first: decoded, sliced and tokenised, on the CPU, by any thread."""
        reserve = max_new_tokens + self._chat.second_question
        return self._inputs(images, conversations, padding_side="left", reserve=reserve)

    @torch.inference_mode()
    def answers(self, questions: Sequence[Inputs], max_new_tokens: int) -> list[Written]:
        """`describe` of images whose inputs are made already."""
        said: dict[int, Written] = {}
        for inputs in questions:
            given = {name: tensor.to(self.device, non_blocking=True) for name, tensor in inputs.tensors.items()}
            rows, length = given["input_ids"].shape
            how = self.graph.options(rows, length + max_new_tokens) if self.graph else {}
            tokens = self.model.eval().generate(**given, max_new_tokens=max_new_tokens, use_cache=True, **how)
            answers = tokens[:, length:]  # (B, new)
            texts = self.processor.batch_decode(answers, skip_special_tokens=True)
            for row, text, answer in zip(inputs.rows, texts, answers.tolist(), strict=True):
                said[row] = Written(text.strip(), ended=not self._chat.ends.isdisjoint(answer))
        return [said[row] for row in sorted(said)]

    def read(self, images: Sequence[Image], conversations: Sequence[Conversation]) -> list[Reading]:
        """The rating word and the hidden states of described images' conversations, from one forward pass.

        Alone or in a batch, an image's float32 states agree within 1e-5.
        """
        return self.read_inputs(self.inputs(images, conversations))

    def inputs(self, images: Sequence[Image], conversations: Sequence[Conversation]) -> list[Inputs]:
        """What `read` makes of its images first: decoded, sliced and tokenised, on the CPU, by any thread."""
        return self._inputs(images, conversations, padding_side="right")

    def read_inputs(self, several: Sequence[Inputs]) -> list[Reading]:
        """`read` of images whose inputs are made already. Threads may take turns, and a GPU goes on between them."""
        readings: dict[int, Reading] = {}
        for inputs in several:
            readings |= zip(inputs.rows, self._read(inputs), strict=True)
        return [readings[row] for row in sorted(readings)]

    def _read(self, inputs: Inputs) -> list[Reading]:
        lengths = inputs.tensors["attention_mask"].sum(dim=1)  # (B,)
        given = {**inputs.tensors, "last": self._pinned(lengths - 1)}
        if self.device.type == "cuda" and int(lengths.min()) == int(lengths.max()):
            del given["attention_mask"]  # transformers would wait for the device to look whether it masks anything
        self.model.eval()
        with torch.inference_mode():
            batch = {name: tensor.to(self.device, non_blocking=True) for name, tensor in given.items()}
            last = batch.pop("last")
            states = self._network.base_model(**batch, use_cache=False).last_hidden_state  # (B, T, D)
            ends = states[torch.arange(len(last), device=self.device), last]  # (B, D)
            logits = self._network.get_output_embeddings()(ends)  # (B, V)
            likely = torch.stack([logits[:, token] for token in self.word_tokens], dim=1).float()  # (B, words)
            choices = likely.argmax(dim=1)  # (B,)
            expected = likely.softmax(dim=1) @ likely.new_tensor(WORD_MIDDLES)  # (B,)
        states, choices, expected = self._on_host(states, choices, expected)
        return [
            Reading(RATING_WORDS[choice], mean, row[:length], span, fit)
            for choice, mean, row, length, span, fit in zip(
                choices.tolist(), expected.tolist(), states, lengths.tolist(), inputs.spans, inputs.fits, strict=True
            )
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
            tensors = {name: self._pinned(tensor) for name, tensor in batch.to(dtype=self._network.dtype).items()}
            made.append(Inputs(rows, fits, spans, tensors))
        return made

    def _pinned(self, tensor: Tensor) -> Tensor:
        """In page-locked memory, from where a GPU fetches it without anybody waiting."""
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    def _on_host(self, *tensors: Tensor) -> list[Tensor]:
        """Copies that a head may be trained on, made out of inference mode; waits for these tensors and no others."""
        on_gpu = self.device.type == "cuda"
        copies = [torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=on_gpu) for tensor in tensors]
        for copy, tensor in zip(copies, tensors, strict=True):
            copy.copy_(tensor, non_blocking=True)
        if on_gpu:
            torch.cuda.current_stream().record_event().synchronize()
        return copies

    @property
    def _network(self) -> Any:
        """The model itself; an adapter acts in its layers, so that nothing is lost without peft's wrapper."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    @cached_property
    def word_tokens(self) -> list[int]:
        """The first token of each of RATING_WORDS, where the template puts it.

        Raises:
            InputError: two words begin with one token.
        """
        tokens = []
        for word in RATING_WORDS:
            ids, turns = self._chat.turns(conversation("quality", "", "", word))
            tokens.append(ids[turns[-1].start])
        if len(set(tokens)) < len(tokens):
            raise InputError(f"{self.name}: its tokenizer begins two rating words with one token: {tokens}")
        return tokens

    @cached_property
    def _chat(self) -> Chat:
        ends = self._network.generation_config.eos_token_id
        return Chat(self.processor, {ends} if isinstance(ends, int) else set(ends), self.name)

    @property
    def fitter(self) -> Fitter:
        """What makes the model's inputs; it needs no weights."""
        return Fitter(self._chat, self.max_length, self.fewer_views)
