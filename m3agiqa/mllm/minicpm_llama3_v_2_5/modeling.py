"""MiniCPM-Llama3-V-2.5 on transformers: SigLIP's eyes (Idefics2's vision tower), a resampler, Llama 3.

The modules have the names that the published checkpoint and the published adapters use: `vpm`, `resampler`, `llm`.
The views of all images of a batch go through the vision tower together. No step waits for the device: sizes that
depend on the data come with the inputs (image_processing.py).
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, LlamaForCausalLM, PreTrainedModel
from transformers import initialization as init
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, create_bidirectional_mask, sdpa_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_utils import slice_logits_to_keep
from transformers.models.idefics2.modeling_idefics2 import Idefics2VisionTransformer

from m3agiqa.mllm.minicpm_llama3_v_2_5.configuration import MiniCPMVConfig
from m3agiqa.mllm.minicpm_llama3_v_2_5.resampler import Resampler

IMAGE_INPUTS = ("pixel_values", "tgt_sizes", "patch_attention_mask")


class VisionTower(Idefics2VisionTransformer):
    """Idefics2's vision transformer on strips: (S, 3, 14, 14·L) → (S, L, vision width).

    The published code hands over strips, and so a view's position ids are those of an image of one row of patches,
    whatever its shape: patch k of n gets place floor(70 k / n) of the first of 70 rows. Rows and columns come in with
    the resampler's positions.
    """

    def forward(self, pixel_values: Tensor, patch_attention_mask: Tensor | None = None) -> Tensor:
        """`patch_attention_mask` (S, L): n True first; None where all is True."""
        attended = patch_attention_mask
        if attended is None:
            shape = len(pixel_values), pixel_values.shape[3] // cast("int", self.config.patch_size)
            attended = torch.ones(shape, dtype=torch.bool, device=pixel_values.device)
        states = self.embeddings(pixel_values.to(self.dtype), attended[:, None])  # (S, L, vision width)
        mask: Any = patch_attention_mask
        masks = ALL_MASK_ATTENTION_FUNCTIONS.get(self.config._attn_implementation)  # noqa: SLF001  known by no other name
        if mask is not None and masks is sdpa_mask:
            mask = mask[:, None, None]  # (S, 1, 1, L): transformers would write out (S, 1, L, L), and ask what is in it
        elif mask is not None:
            mask = create_bidirectional_mask(self.config, inputs_embeds=states, attention_mask=mask)
        seen: Tensor = self.post_layernorm(self.encoder(states, mask).last_hidden_state)
        return seen


def normalised(pixel_values: Tensor, tgt_sizes: Tensor) -> Tensor:
    """Bytes as SigLIP takes them, -1 to 1: (S, 3, 14, 14·L) uint8 → float32; grey behind a view's last patch."""
    at = torch.arange(pixel_values.shape[3], device=pixel_values.device)
    inside = at < pixel_values.shape[2] * tgt_sizes.prod(dim=1)[:, None]  # (S, 14·L)
    return ((pixel_values.float() / 255 - 0.5) / 0.5) * inside[:, None, None]


class MiniCPMVForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """The whole model. `base_model` is the same without the vocabulary head."""

    config_class = MiniCPMVConfig
    config: MiniCPMVConfig
    input_modalities = ("image", "text")  # type: ignore[assignment]  # as transformers' own models have it
    supports_gradient_checkpointing = True
    _no_split_modules = ["LlamaDecoderLayer", "Idefics2EncoderLayer", "Resampler"]  # noqa: RUF012 (likewise)
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    def __init__(self, config: MiniCPMVConfig) -> None:
        super().__init__(config)
        self.vpm = VisionTower(config.vision)
        self.resampler = Resampler(config)
        self.llm = LlamaForCausalLM(config)
        self.post_init()  # type: ignore[no-untyped-call]  # transformers', without types, as is the next

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, Resampler):
            init.trunc_normal_(module.query, std=0.02)
            init.normal_(module.proj, std=self.config.hidden_size**-0.5)

    @property
    def base_model(self) -> Callable[..., BaseModelOutputWithPast]:  # type: ignore[override]
        """The network up to its last hidden states: no module of its own, as the checkpoint has none."""
        return self.last_hidden_states

    def get_decoder(self) -> nn.Module:
        decoder: nn.Module = self.llm.model
        return decoder

    def get_input_embeddings(self) -> nn.Module:
        return self.llm.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.llm.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        head: nn.Module = self.llm.lm_head
        return head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.llm.lm_head = value

    def image_vectors(
        self, pixel_values: Tensor, tgt_sizes: Tensor, patch_attention_mask: Tensor | None = None
    ) -> Tensor:
        """(S, Q, D): what the language model sees of S views."""
        seen = self.vpm(normalised(pixel_values, tgt_sizes), patch_attention_mask)
        vectors: Tensor = self.resampler(seen, tgt_sizes)
        return vectors

    def embed(self, input_ids: Tensor, **images: Any) -> Tensor:
        """(B, T, D): the tokens' embeddings; between `<image>` and `</image>` the vectors of the views, in order."""
        # One dtype for the layers: embeddings and resampler may be trained in float32 beside them.
        embeddings: Tensor = self.get_input_embeddings()(input_ids).to(self.llm.lm_head.weight.dtype)
        if images.get("pixel_values") is None:
            return embeddings
        starts, ends = input_ids == self.config.image_start_id, input_ids == self.config.image_end_id
        inside = (starts.cumsum(dim=1) > ends.cumsum(dim=1)) & ~starts  # (B, T)
        order = (inside.flatten().cumsum(dim=0) - 1).clamp(min=0)  # (B T,): which vector of all stands where
        vectors = self.image_vectors(**images).flatten(0, 1)[order].view_as(embeddings)  # (B, T, D)
        return torch.where(inside[..., None], vectors.to(embeddings.dtype), embeddings)

    def last_hidden_states(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        tgt_sizes: Tensor | None = None,
        patch_attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Llama's output on the tokens and the images between them: (B, T, D), after its last norm."""
        if inputs_embeds is None:
            images = {"pixel_values": pixel_values, "tgt_sizes": tgt_sizes}
            tokens = cast("Tensor", input_ids)  # one of the two is given
            inputs_embeds = self.embed(tokens, **images, patch_attention_mask=patch_attention_mask)
        outputs: BaseModelOutputWithPast = self.llm.model(inputs_embeds=inputs_embeds, **kwargs)
        return outputs

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        tgt_sizes: Tensor | None = None,
        patch_attention_mask: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """The logits of the last `logits_to_keep` places (0: all), or of the places that it lists.

        `pixel_values` (S, 3, 14, 14·L), `tgt_sizes` (S, 2) and `patch_attention_mask` (S, L) are the image processor's,
        the views in the order in which `input_ids` (B, T) names them.
        """
        outputs = self.last_hidden_states(
            input_ids,
            pixel_values,
            tgt_sizes,
            patch_attention_mask,
            inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **kwargs,
        )
        states = cast("Tensor", outputs.last_hidden_state)
        logits = self.llm.lm_head(slice_logits_to_keep(states, logits_to_keep))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def adjust_generation_fn(self, generation_config: Any, *args: Any, **kwargs: Any) -> None:
        """Called as a repository is loaded: its settings end generation at the end of text, ours at a turn's too."""
        mixin: Any = super()  # which asks of its `self`, here and below, a protocol that no model's types meet
        mixin.adjust_generation_fn(generation_config, *args, **kwargs)
        if generation_config is None:
            self.generation_config.eos_token_id = self.config.eos_token_id

    def prepare_inputs_for_generation(  # type: ignore[override]  # the others go through as they are
        self, input_ids: Tensor, *, is_first_iteration: bool = False, use_cache: bool = True, **kwargs: Any
    ) -> dict[str, Any]:
        """Images are looked at once: later steps have them in the cache."""
        mixin: Any = super()
        inputs: dict[str, Any] = mixin.prepare_inputs_for_generation(
            input_ids, is_first_iteration=is_first_iteration, use_cache=use_cache, **kwargs
        )
        if use_cache and not is_first_iteration:
            for name in IMAGE_INPUTS:
                inputs.pop(name, None)
        return inputs

    def _expand_inputs_for_generation(  # type: ignore[override]  # it calls all tensors of numbers LongTensor
        self, expand_size: int = 1, is_encoder_decoder: bool = False, input_ids: Tensor | None = None, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Any]]:
        """For beams: each sequence's views together as often as the sequence itself."""
        images = {name: kwargs.pop(name) for name in IMAGE_INPUTS if kwargs.get(name) is not None}
        if expand_size > 1 and images:
            counts = (cast("Tensor", input_ids) == self.config.image_start_id).sum(dim=1).tolist()
            images = {
                name: torch.cat([part for views in tensor.split(counts) for part in [views] * expand_size])
                for name, tensor in images.items()
            }
        mixin: Any = super()
        expanded, others = mixin._expand_inputs_for_generation(  # noqa: SLF001
            expand_size, is_encoder_decoder=is_encoder_decoder, input_ids=input_ids, **kwargs
        )
        return expanded, {**others, **images}
