"""The parts of the embedded model `small`: architecture and processor.

InternVL's classes: its vision tower has DINOv2's shape, and its connector folds 2 × 2 patches into one token, so that
392 × 392 px are 196 tokens. A Llama of 384 × 4 layers reads them among its text. An image of another shape is padded
to a square, never distorted or cut.
"""

from torch import Tensor
from transformers import (
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlavaImageProcessorPil,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from finetune.pretrain.checkpoint import greedy
from finetune.pretrain.tokenizer import (
    CHAT_TEMPLATE,
    CONTEXT,
    IMAGE,
    SPECIAL,
    SPECIAL_IDS,
    VOCABULARY,
)

IMAGE_SIZE = 392
PATCH = 14
FOLD = 2  # patches a side that become one token
SIDE = IMAGE_SIZE // PATCH
IMAGE_TOKENS = (SIDE // FOLD) ** 2
IMAGE_STRING = IMAGE * IMAGE_TOKENS  # what the processor makes of one <image>
FIRST_IMAGE_TOKEN = 3  # <s> | User | : | image …: the same place in every chat of ours
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as DINOv2 was trained


def config() -> InternVLConfig:
    """About 30 M parameters: 22 the eyes, 8 connector and language."""
    return InternVLConfig(
        vision_config={
            "hidden_size": 384,
            "intermediate_size": 1536,
            "num_hidden_layers": 12,
            "num_attention_heads": 6,
            "attention_bias": True,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH,
            "use_mean_pooling": False,  # a norm after the last layer
        },
        text_config={
            "model_type": "llama",
            "vocab_size": VOCABULARY,
            "hidden_size": 384,
            "intermediate_size": 1024,
            "num_hidden_layers": 4,
            "num_attention_heads": 6,
            "num_key_value_heads": 6,
            "head_dim": 64,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "tie_word_embeddings": True,
            **SPECIAL_IDS,
        },
        image_token_id=SPECIAL.index(IMAGE),
        image_seq_length=IMAGE_TOKENS,
        downsample_ratio=1 / FOLD,
        tie_word_embeddings=True,
        **SPECIAL_IDS,
    )


def build_model(backbone: dict[str, Tensor]) -> InternVLForConditionalGeneration:
    """The model with `backbone` as its eyes (finetune/pretrain/small/backbone.py) and all else drawn at random."""
    model = InternVLForConditionalGeneration(config())
    model.model.vision_tower.load_state_dict(backbone)
    model.generation_config = greedy()
    return model


def build_processor(tokenizer: PreTrainedTokenizerFast) -> LlavaProcessor:
    """Tokenizer and image processor in one. Llava's pads to a square; InternVL's own would distort."""
    images = LlavaImageProcessorPil(
        do_pad=True,
        size={"shortest_edge": IMAGE_SIZE},
        do_center_crop=False,
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    return LlavaProcessor(
        images,
        tokenizer,
        patch_size=PATCH * FOLD,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
    )
