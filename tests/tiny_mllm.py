"""Real vision-language models with a few thousand random weights: tests run the real classes in milliseconds."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    CLIPImageProcessorPil,
    GenerationConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    MiniCPMV4_6Config,
    MiniCPMV4_6ForConditionalGeneration,
    MiniCPMV4_6ImageProcessorPil,
    MiniCPMV4_6Processor,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.minicpmv4_6.video_processing_minicpmv4_6 import MiniCPMV4_6VideoProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

from finetune.distill import crops
from finetune.distill.examples import Collator, Example
from m3agiqa.mllm.conversation import RATING_WORDS, WORD_MIDDLES, Conversation
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.profile import Lora, Profile

PAD, BEGIN, END, IMAGE = range(4)
SPECIAL = ["<pad>", "<s>", "<end_of_utterance>", "<image>", "<fake_token_around_image>", "<global-img>", "<video>"]
SPECIAL += ["<vision>", "</vision>", "<slice>", "</slice>", "<image_id>", "</image_id>"]
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
IDEFICS = {  # SmolVLM's and Idefics3's: one design under two names
    "vision_config": {**VISION, "image_size": 32, "patch_size": 8},
    "text_config": {"model_type": "llama", **TEXT},
    "scale_factor": 2,
    "image_token_id": IMAGE,
    "pad_token_id": PAD,
    "tie_word_embeddings": True,
}


def texts_of(mllm: LocalMLLM, images: list[Image.Image], asked: list[Conversation], max_new_tokens: int) -> list[str]:
    """What it answers to each."""
    return [said.text for said in mllm.answers(mllm.questions(images, asked, max_new_tokens), max_new_tokens)]


def load(folder: Path, *, adapter: Path | None = None, **settings: Any) -> LocalMLLM:
    """The model in `folder`, with such settings of a profile as are not usual."""
    usual = {"dtype": "float32", "max_length": 256, "max_new_tokens": 8}
    return LocalMLLM.load(Profile(model=str(folder), **usual | settings), device="cpu", adapter=adapter)


def lora(**settings: Any) -> Lora:
    """A few LoRA matrices in the language model."""
    return Lora(**{"r": 2, "alpha": 2, "dropout": 0.0, "targets": LANGUAGE_LORA, "modules_to_save": [], **settings})


class Taught(list[Example]):
    """Images and whole conversations as examples; the MOS is the middle of the word's interval. Shown in parts."""

    def __init__(self, pairs: Iterable[tuple[Image.Image, Conversation]]) -> None:
        super().__init__(Example(image, chat, middle(chat[-1]["content"][0]["text"])) for image, chat in pairs)

    def shown(self, index: int, place: int) -> Example:
        example = self[index]
        return example._replace(image=crops.part_of(example.image, 0.8, 0, place))


def middle(word: str) -> float:
    """The MOS in the middle of the word's interval."""
    return WORD_MIDDLES[RATING_WORDS.index(word)]


def collator(mllm: LocalMLLM, weight: float = 1.0, spread: float = 0.0) -> Collator:
    """As the paper learns: the rating word is one of the tokens."""
    return Collator(mllm.fitter, mllm.dtype, mllm.word_tokens, weight, spread)


def training_batch(mllm: LocalMLLM, pairs: Iterable[tuple[Image.Image, Conversation]]) -> dict[str, torch.Tensor]:
    """What transformers' own loss takes: the one set of tensors that these make, the rating word among the labels."""
    (batch,) = collator(mllm)(Taught(pairs))
    del batch["mos"], batch["logits_at"]
    at, tokens = batch.pop("word_at"), batch.pop("word_tokens")
    chosen = tokens.gather(1, batch.pop("word_weights").argmax(dim=1, keepdim=True))
    return {**batch, "labels": batch["labels"].scatter(1, at[:, None], chosen)}


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
    settings = SmolVLMConfig(**IDEFICS)
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


def idefics3(folder: Path, template: str = SMOLVLM_TEMPLATE) -> Path:
    """Idefics3, as SmolVLM-256M and -500M are: an image in 4 views of 4 tokens, or in one."""
    torch.manual_seed(1)
    images = Idefics3ImageProcessorPil(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})
    processor = Idefics3Processor(images, tokenizer(), image_seq_len=4, chat_template=template)
    settings = Idefics3Config(**IDEFICS)
    return _save(Idefics3ForConditionalGeneration(settings), processor, folder)


def qwen3_vl(folder: Path) -> Path:
    """Qwen3-VL: as many tokens as an image is large, vision features in several layers of the language model."""
    torch.manual_seed(1)
    words = tokenizer({"image_token": "<image>", "video_token": "<video>", "vision_start_token": "<vision>"})
    images = Qwen2VLImageProcessorPil(patch_size=8, merge_size=2, size={"shortest_edge": 256, "longest_edge": 4096})
    template = CHATML_TEMPLATE.replace("<image>", "<vision><image></vision>")
    processor = Qwen3VLProcessor(images, words, Qwen3VLVideoProcessor(patch_size=8), chat_template=template)
    settings = Qwen3VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": 8,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        text_config={**TEXT, "head_dim": 8, "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1]}},
        image_token_id=IMAGE,
        video_token_id=SPECIAL.index("<video>"),
        vision_start_token_id=SPECIAL.index("<vision>"),
        vision_end_token_id=SPECIAL.index("</vision>"),
        tie_word_embeddings=True,
    )
    return _save(Qwen3VLForConditionalGeneration(settings), processor, folder)


def minicpm_v_4_6(folder: Path) -> Path:
    """MiniCPM-V 4.6: slices as the image is large, Qwen3.5's mix of linear and full attention."""
    torch.manual_seed(1)
    named = {"image_token": "<image>", "image_start_token": "<vision>", "image_end_token": "</vision>"}
    named |= {"slice_start_token": "<slice>", "slice_end_token": "</slice>", "video_token": "<video>"}
    named |= {"image_id_start_token": "<image_id>", "image_id_end_token": "</image_id>"}
    words = tokenizer(named)
    views = {"scale_resolution": 32, "patch_size": 4, "max_slice_nums": 4}
    processor = MiniCPMV4_6Processor(
        MiniCPMV4_6ImageProcessorPil(**views),
        MiniCPMV4_6VideoProcessor(**views),
        words,
        chat_template=CHATML_TEMPLATE,
    )
    linear = {"linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2}
    settings = MiniCPMV4_6Config(
        vision_config={**VISION, "image_size": 32, "patch_size": 4},
        text_config={
            **TEXT,
            **linear,
            "tie_word_embeddings": False,
            "linear_num_value_heads": 4,
            "head_dim": 16,
            "full_attention_interval": 2,
        },
        insert_layer_id=0,
        image_token_id=IMAGE,
        video_token_id=SPECIAL.index("<video>"),
        tie_word_embeddings=False,
    )
    return _save(MiniCPMV4_6ForConditionalGeneration(settings), processor, folder)


def tokenizer(named: dict[str, str] | None = None) -> PreTrainedTokenizerFast:
    """Byte-level BPE, learned from one sentence; like Llama's it adds a begin token unless told not to.

    `named` are the special tokens that a processor asks for by name.
    """
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
        extra_special_tokens=named or {},
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
