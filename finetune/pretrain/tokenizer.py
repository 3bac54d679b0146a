"""The tokenizer and the chat template of the embedded models."""

from collections.abc import Iterable
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

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
SPECIAL_IDS: dict[str, Any] = {  # as every configuration takes them, some without their signature saying so
    "pad_token_id": SPECIAL.index(PAD),
    "bos_token_id": SPECIAL.index(BOS),
    "eos_token_id": SPECIAL.index(END),
}

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

# Words of the later task. The tokenizer has each in one token, and pretraining makes the model repeat them in random
# order (`finetune.pretrain.chats.repetition`), so that it can read and say them; never about a picture, so that it
# does not know what they look like.
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
