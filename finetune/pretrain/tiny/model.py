"""The parts of the embedded model `tiny`: architecture, tokenizer, chat template, processor.

SmolVLM's architecture in miniature: a ViT of 192 x 6 layers looks at 192 px in 16 px patches (144 tokens),
the connector folds 2 x 2 of them into one (scale factor 2), and a Llama of 256 x 6 layers reads the 36 image
tokens among its text. Scale factor 2 rather than 3: a token then stands for 32 x 32 pixels instead of 48 x 48
and keeps 256 numbers of 3,072, not of 6,912. Grain, soft edges and bent outlines are gone after the connector
unless they fit in there. The price is 20 text positions an image.
"""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    GenerationConfig,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

IMAGE_SIZE = 192
PATCH = 16
SCALE = 2
IMAGE_TOKENS = (IMAGE_SIZE // PATCH // SCALE) ** 2
VOCABULARY = 2048
CONTEXT = 1024

PAD, BOS, END, IMAGE, FAKE, GLOBAL = (
    "<pad>",
    "<s>",
    "<end_of_utterance>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
)
SPECIAL = (PAD, BOS, END, IMAGE, FAKE, GLOBAL)

# The answer's leading space is inside the generation block: the model writes it after "Assistant:".
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% if message['role'] == 'assistant' %}{% generation %} "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
    "<end_of_utterance>{% endgeneration %}{{ '\\n' }}"
    "{% else %}{% if message['content'] is string %} {{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
    "{% else %} {{ part['text'] }}{% endif %}{% endfor %}{% endif %}<end_of_utterance>{{ '\\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
IMAGE_STRING = FAKE + GLOBAL + IMAGE * IMAGE_TOKENS + FAKE  # what the processor makes of one <image>
FIRST_IMAGE_TOKEN = 5  # <s> | User | : | fake | global | image ...: the same place in every chat of ours

# Words of the later task. The tokenizer has each in one token, and pretraining makes the model repeat them in random
# order (`finetune.pretrain.tiny.data.repetition`), so that it can read and say them; never about a picture, so that it does not
# know what they look like.
LATER_WORDS = """
quality correspondence authenticity rating level bad poor fair good excellent sharp sharpness blurred blurry crisp
soft smooth noise noisy grain grainy clean block blocks blocky blockiness artefacts compression banding banded bands
colour cast colours natural unnatural saturated dull vivid rich lively washed shifted contrast exposure bright dark
missing miscounted wrong extra instead shown asked request compared number matches match mismatch prompt text image
picture everything anything something every object all objects present absent count position relation background
shadow shadows lighting light consistent inconsistent impossible bent distorted deformed warped shape shapes outlines
straight crooked texture repeated pattern real realistic believable plausible artificial wax odd ordinary detail
details depth directions edges surfaces areas steps parts part places ways sight impression technical clear clearly
slightly strongly visible hardly somewhat very heavily heavy mild strong weak coarse faint solid sound flawless
overall therefore because but and while the This In It is are was be been have has can should would only just almost
nearly mostly quite rather entirely badly most much more less little some large short close half once off out away up
into together throughout that which like else as or at by for to from give gives fall falls fails fit holds lies lost
break covers succeeds one two three four five raters found describe rate answer with word words explain assess how
well does follow its strengths weaknesses
""".split()  # noqa: SIM905 (a list of words reads best as one)


def config() -> SmolVLMConfig:
    """About 8.2 M parameters, so that bfloat16 weights stay below 16 MB."""
    special: dict[str, Any] = {  # that every configuration takes, and this one's signature does not list
        "pad_token_id": SPECIAL.index(PAD),
        "bos_token_id": SPECIAL.index(BOS),
        "eos_token_id": SPECIAL.index(END),
    }
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
            "pad_token_id": SPECIAL.index(PAD),
            "bos_token_id": SPECIAL.index(BOS),
            "eos_token_id": SPECIAL.index(END),
            "tie_word_embeddings": True,
        },
        scale_factor=SCALE,
        image_token_id=SPECIAL.index(IMAGE),
        tie_word_embeddings=True,
        **special,
    )


def build_model() -> SmolVLMForConditionalGeneration:
    """The model with random weights, ready to train or to save."""
    model = SmolVLMForConditionalGeneration(config())
    model.generation_config = GenerationConfig(
        bos_token_id=SPECIAL.index(BOS),
        eos_token_id=SPECIAL.index(END),
        pad_token_id=SPECIAL.index(PAD),
        do_sample=False,
        max_new_tokens=96,
    )
    return model


def build_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE, so that any Unicode text survives a round trip; merges learned from `texts` and LATER_WORDS."""
    core = Tokenizer(models.BPE())
    # GPT-2's split, but digits one by one: counting words and numbers should not melt into rare merges.
    split = Regex(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(split, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    words = [f"User: {' '.join(LATER_WORDS)}\nAssistant: {' '.join(word.capitalize() for word in LATER_WORDS)}"]
    core.train_from_iterator([*texts, *words * 50], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=END,
        additional_special_tokens=[IMAGE, FAKE, GLOBAL],
        model_max_length=CONTEXT,
        padding_side="right",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


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


def save(model: SmolVLMForConditionalGeneration, processor: Idefics3Processor, folder: Path | str) -> None:
    """Write everything that the Auto classes need, the weights in bfloat16."""
    copy.deepcopy(model).bfloat16().save_pretrained(folder)
    processor.save_pretrained(folder)
