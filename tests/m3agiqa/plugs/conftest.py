import pytest
import torch
from transformers import CLIPTextConfig, CLIPTextModel, LlamaConfig, LlamaForCausalLM

from m3agiqa.scorer import Scorer
from tests.tiny_mllm import TEXT, tokenizer


@pytest.fixture
def scorer(parts):
    return Scorer(parts, device="cpu", fast=True)


@pytest.fixture
def language_model():
    """Makes one, always the same."""

    def language_model():
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(**TEXT))

    return language_model


@pytest.fixture(scope="session")
def pipeline():
    """Stable Diffusion, 32 x 32 px in two steps."""
    diffusers = pytest.importorskip("diffusers", reason="diffusers is in requirements-dev.txt")
    torch.manual_seed(0)
    words = tokenizer()
    words.model_max_length = 77
    said = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    said |= {name: TEXT[name] for name in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id")}
    pipeline = diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
        ),
        text_encoder=CLIPTextModel(CLIPTextConfig(**said)),
        tokenizer=words,
        unet=diffusers.UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
        ),
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
