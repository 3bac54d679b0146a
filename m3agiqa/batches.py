"""Which images are scored together: those that make sequences of like length, so that little is padded.

How many tokens an image takes is its model's affair: of a picture of 1792 px some models make ten views. With batches
by the length of the prompt alone, such a model read 1.6 times as many tokens as there are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from m3agiqa.card import read_card
from m3agiqa.errors import InputError
from m3agiqa.given import size_of, text_of
from m3agiqa.mllm.conversation import conversation
from m3agiqa.parts import Part, fitter

UNKNOWN = (1, 1)  # px, of an image that will not be opened


def batches(part: Part, images: Sequence[Any], prompts: Sequence[Any], size: int) -> list[list[int]]:
    """Rows, `size` at a time, by the length of what the model of `part` is asked. The same images make the same.

    The longest come first: memory that does not suffice is known at once, the time to go is not underrated, and a
    GPU's graph of a step is made for a cache that fits the rest.

    Raises:
        InputError: the card or the model's processor is not there, or not usable.
    """
    if len(images) <= size:
        return [list(range(len(images)))] if images else []
    order = np.argsort([-length for length in _lengths(part, images, prompts)], kind="stable").tolist()
    return [order[start : start + size] for start in range(0, len(order), size)]


def _lengths(part: Part, images: Sequence[Any], prompts: Sequence[Any]) -> list[int]:
    card = read_card(part.card)
    asked = [conversation(card.aspect, _text(prompt), described=card.described) for prompt in prompts]
    return fitter(part, card).lengths([size_of(image) or UNKNOWN for image in images], asked)


def _text(prompt: Any) -> str:
    """Nothing of what is no prompt, as will be said where the image is to be scored."""
    try:
        return text_of(prompt)
    except InputError:
        return ""
