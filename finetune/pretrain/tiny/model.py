"""The parts of the embedded model `tiny`: architecture and processor.

SmolVLM's architecture in miniature: a ViT of 192 x 6 layers looks at 192 px in 16 px patches (144 tokens),
the connector folds 2 x 2 of them into one (scale factor 2), and a Llama of 256 x 6 layers reads the 36 image
tokens among its text. Scale factor 2 rather than 3: a token then stands for 32 x 32 pixels instead of 48 x 48
and keeps 256 numbers of 3,072, not of 6,912. Grain, soft edges and bent outlines are gone after the connector
unless they fit in there. The price is 20 text positions an image.
"""

import torch
from torch import Tensor
from transformers import (
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

from finetune.pretrain.checkpoint import greedy
from finetune.pretrain.tokenizer import (
    CHAT_TEMPLATE,
    CONTEXT,
    FAKE,
    GLOBAL,
    IMAGE,
    SPECIAL,
    SPECIAL_IDS,
    VOCABULARY,
)

IMAGE_SIZE = 192
PATCH = 16
SCALE = 2
IMAGE_TOKENS = (IMAGE_SIZE // PATCH // SCALE) ** 2

IMAGE_STRING = FAKE + GLOBAL + IMAGE * IMAGE_TOKENS + FAKE  # what the processor makes of one <image>
FIRST_IMAGE_TOKEN = 5  # <s> | User | : | fake | global | image ...: the same place in every chat of ours


def config() -> SmolVLMConfig:
    """About 8.2 M parameters, so that bfloat16 weights stay below 16 MB."""
    return SmolVLMConfig(
        vision_config={
            "hidden_size": 192,
            "intermediate_size": 768,
            "num_hidden_layers": 6,
            "num_attention_heads": 6,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": VOCABULARY,
            "hidden_size": 256,
            "intermediate_size": 768,
            "num_hidden_layers": 6,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 32,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "tie_word_embeddings": True,
            **SPECIAL_IDS,
        },
        scale_factor=SCALE,
        image_token_id=SPECIAL.index(IMAGE),
        tie_word_embeddings=True,
        **SPECIAL_IDS,
    )


def build_model() -> SmolVLMForConditionalGeneration:
    """The model with random weights, ready to train or to save."""
    model = SmolVLMForConditionalGeneration(config())
    model.generation_config = greedy()
    return model


def build_processor(tokenizer: PreTrainedTokenizerFast) -> Idefics3Processor:
    """Tokenizer and image processor in one. Idefics3's classes: SmolVLM's own adds video and its dependencies.

    Any image is stretched to exactly 192 x 192; the pixels of the synthetic data set pass through unchanged.
    """
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": IMAGE_SIZE},
        max_image_size={"longest_edge": IMAGE_SIZE},
        do_image_splitting=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return Idefics3Processor(images, tokenizer, image_seq_len=IMAGE_TOKENS, chat_template=CHAT_TEMPLATE)


@torch.no_grad()
def refresh_unseen(model: SmolVLMForConditionalGeneration, seen: Tensor, seed: int) -> None:
    """Give tokens that never occurred in training (`seen` is False) embeddings that can be told apart.

    All that training ever told them is "not now", and it told them the same: they end as one long common vector.
    The words of the later task would be near twins to read and to say. New ones are drawn around the mean of the
    trained embeddings with half their spread: distinct, and too weak to be said by mistake.
    """
    embeddings = model.get_input_embeddings().weight
    known = embeddings[seen]
    dice = torch.Generator().manual_seed(seed)
    drawn = torch.randn(int((~seen).sum()), known.shape[1], generator=dice).to(known)
    embeddings[~seen] = known.mean(0) + 0.5 * (known - known.mean(0)).square().mean().sqrt() * drawn
