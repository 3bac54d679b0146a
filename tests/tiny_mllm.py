"""Real vision-language models with a few thousand random weights: tests run the real classes in milliseconds."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPImageProcessorPil,
    GenerationConfig,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessorPil,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

from analyzers.mllm import LocalMLLM

PAD, BEGIN, END, IMAGE = range(4)
SPECIAL = ["<pad>", "<s>", "<end_of_utterance>", "<image>", "<fake_token_around_image>", "<global-img>", "<video>"]
TEXT: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT |= {"vocab_size": 512, "num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": True}
TEXT |= {"pad_token_id": PAD, "bos_token_id": BEGIN, "eos_token_id": END}
VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
LANGUAGE_LORA = r".*(text_model|language_model|llm\.model)\.layers\.\d+\.self_attn\.[qkvo]_proj"

# As SmolVLM writes it: the answer follows a space, a newline follows each turn, nothing marks what the assistant says.
SMOLVLM_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
    "{% else %} {{ part['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
# As Qwen and MiniCPM write it (ChatML): a system turn that nobody asked for, the role on a line of its own.
CHATML_TEMPLATE = (
    "<s>system\nBe brief.<end_of_utterance>\n{% for message in messages %}<s>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


def picture(seed: int, width: int = 32, height: int = 32) -> Image.Image:
    """Noise of one colour or another: no two alike."""
    generator = torch.Generator().manual_seed(seed)
    return Image.fromarray(torch.randint(256, (height, width, 3), generator=generator, dtype=torch.uint8).numpy())


def smolvlm(folder: Path, template: str = SMOLVLM_TEMPLATE) -> Path:
    """SmolVLM, 4 tokens an image."""
    torch.manual_seed(1)
    edge = {"longest_edge": 32}
    images = Idefics3ImageProcessorPil(do_image_splitting=False, size=edge, max_image_size=edge)
    processor = Idefics3Processor(images, tokenizer(), image_seq_len=4, chat_template=template)
    settings = SmolVLMConfig(
        vision_config={**VISION, "image_size": 32, "patch_size": 8},
        text_config={"model_type": "llama", **TEXT},
        scale_factor=2,
        image_token_id=IMAGE,
        pad_token_id=PAD,
        tie_word_embeddings=True,
    )
    return _save(SmolVLMForConditionalGeneration(settings), processor, folder)


def llava(folder: Path) -> Path:
    """LLaVA: CLIP's eyes, another processor, ChatML; 16 tokens an image."""
    torch.manual_seed(1)
    images = CLIPImageProcessorPil(size={"height": 32, "width": 32}, do_center_crop=False)
    processor = LlavaProcessor(
        images,
        tokenizer(),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHATML_TEMPLATE,
    )
    settings = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **VISION, "image_size": 32, "patch_size": 8},
        text_config={"model_type": "llama", **TEXT},
        image_token_id=IMAGE,
    )
    return _save(LlavaForConditionalGeneration(settings), processor, folder)


class _QwenImages(Qwen2_5_VLProcessor):
    """Qwen's processor without the video half, which needs torchvision."""

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str) -> None:
        tokenizer.image_token, tokenizer.video_token = "<image>", "<video>"
        super(Qwen2_5_VLProcessor, self).__init__(image_processor, tokenizer, chat_template=chat_template)
        self.image_token, self.image_token_id = "<image>", IMAGE


def qwen(max_length: int = 256) -> LocalMLLM:
    """Qwen2.5-VL: patches of all images in one flat row, as many tokens as an image is large, 3-D positions."""
    torch.manual_seed(1)
    images = Qwen2VLImageProcessorPil(patch_size=8, merge_size=2, size={"shortest_edge": 256, "longest_edge": 4096})
    settings = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": 8,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
            "window_size": 32,
        },
        text_config={**TEXT, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}},
        image_token_id=IMAGE,
        video_token_id=SPECIAL.index("<video>"),
        tie_word_embeddings=True,
    )
    model = _lively(Qwen2_5_VLForConditionalGeneration(settings).eval())
    model.generation_config = GenerationConfig(eos_token_id=END, pad_token_id=PAD)
    processor = _QwenImages(images, tokenizer(), CHATML_TEMPLATE)
    return LocalMLLM(model, processor, max_length, torch.device("cpu"), "qwen", "none")


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, learned from one sentence; like Llama's it adds a begin token unless told not to."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BEGIN)])
    trainer = trainers.BpeTrainer(
        vocab_size=TEXT["vocab_size"],
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    words = "Analyse the quality of this image, generated from the prompt: rate it bad poor fair good excellent"
    core.train_from_iterator([words] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=SPECIAL[PAD],
        bos_token=SPECIAL[BEGIN],
        eos_token=SPECIAL[END],
        additional_special_tokens=SPECIAL[IMAGE:],
    )


def _lively(model: Any) -> Any:
    """Weights large enough that what a model says depends on what it sees."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(10)
    return model


def _save(model: Any, processor: Any, folder: Path) -> Path:
    model.generation_config = GenerationConfig(eos_token_id=END, pad_token_id=PAD)
    _lively(model).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
