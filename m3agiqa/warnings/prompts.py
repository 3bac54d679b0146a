"""Prompts that talk to the model instead of saying what the image should show.

The prompt is pasted into the question that the MLLM is asked, so a prompt can ask for a good word. Such a prompt still
gets a score, because the image may be as good as any, and a warning, because the score may be the prompt's doing. The
rule is a list of phrases: it finds what it lists, and a clever prompt goes unnoticed. It must leave real prompts alone.
"""

import re

from m3agiqa.mllm.conversation import RATING_WORDS
from m3agiqa.warnings.images import Limits

NO_PROMPT = "prompt: none given; asked without one"

_GRADES = rf"(?:{'|'.join(RATING_WORDS)}|perfect|highest|maximum|max|top|best|10|5)"
_BETWEEN = (  # "say that the image is", but not "a score card in"
    r"(?:(?:this|that|the|it|its|image|picture|quality|word|rating|score|as|is|are|be|must|with|to|of|only|just)\b\W*){0,8}"
)
_RULES = {
    "tells the model to forget its task": re.compile(
        r"\b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:instruction|prompt|rule|question|task|above|before|"
        r"previous|prior|guideline)s?\b",
        re.DOTALL,
    ),
    "asks for a rating": re.compile(
        rf"\b(?:rate|rating|score|grade|verdict|answer|respond|reply|output|say)\b\W*{_BETWEEN}\b{_GRADES}\b"
        r"|\b(?:give|assign|award)\b.{0,40}\b(?:rating|score|grade|mark|stars?)\b",
        re.DOTALL,
    ),
    "speaks to the model": re.compile(
        r"\byou (?:are|must|should|will|have to|need to) (?:now |always |only )*(?:an? (?:ai|assistant|model|judge|"
        r"rater|critic)|rate|score|answer|respond|say|output|reply|describe)\b|\b(?:language model|as an ai)\b"
    ),
    "imitates the chat format": re.compile(
        r"(?:^|\n)\s*(?:system|assistant|user|human)\s*:|<\|?/?(?:im_start|im_end|system|assistant|user|end_of_\w+|s)\|?>|"
        r"\[/?inst\]|###\s*(?:instruction|response|system)"
    ),
}


def strange_prompt(prompt: str, characters: Limits) -> list[str]:
    """A warning for a prompt that is missing where no training image's was, or longer than all of them."""
    shortest, longest = characters
    if not prompt.strip() and shortest:
        return [NO_PROMPT]
    if len(prompt) > longest:
        return [f"prompt: longer than any it was trained on ({longest:.0f} characters)"]
    return []


def instructions_in(prompt: str) -> list[str]:
    """A warning for each rule that the prompt breaks."""
    text = prompt.casefold()
    return [f"prompt: {what}" for what, pattern in _RULES.items() if pattern.search(text)]
