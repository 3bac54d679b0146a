"""Prompts that the local MLLM cannot read, found before anything is paid for the images that they belong to.

A question must leave room for a description and for round 2's question. The processor alone tells: no weights are
loaded.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from m3agiqa.errors import InputError
from m3agiqa.images import load_image
from m3agiqa.mllm.chat import Chat
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.fitting import Fitter, TooLongError
from m3agiqa.mllm.loading import load_processor
from m3agiqa.mllm.profile import Profile

SHOWN = 3


class Asked(NamedTuple):
    """An image, and the prompt that it was generated from."""

    file: Path
    prompt: str


def check_prompts(images: Iterable[Asked], asked: Iterable[Sequence[str]], profile: Profile) -> None:
    """Refuse images whose prompt is too long for the profile's MLLM, all at once.

    `asked` has the aspects that a description may be about, equally many each time: alone, or several together.
    An image is opened only where its question and what is to come take more than half of `max_length`: in its fewest
    views none takes the other half.

    Raises:
        InputError: naming the first such images, and how many they are.
    """
    fitter = Fitter(Chat(load_processor(profile), set(), profile.model), profile.max_length, profile.fewer_views)
    chat = fitter.chat
    questions = {tuple(aspects): conversation(aspects[0], "", described=aspects) for aspects in asked}
    described = max(questions, key=lambda aspects: chat.length(questions[aspects], answer=True))
    reserve = profile.max_new_tokens * len(described) + chat.second_question
    refused = []
    for file, prompt in images:
        question = conversation(described[0], prompt, described=described)
        if chat.length(question, answer=True) + reserve <= profile.max_length // 2:
            continue
        try:
            fitter.fit(load_image(file), question, answer=True, reserve=reserve)
        except TooLongError:
            refused.append(f"{file} ({len(prompt.split())} words)")
    if refused:
        more = f" and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
        each = f" for each of {len(described)} aspects" if len(described) > 1 else ""
        raise InputError(
            f"the prompts of {', '.join(refused[:SHOWN])}{more} are too long for {profile.model} with max_length "
            f"{profile.max_length} and max_new_tokens {profile.max_new_tokens}{each}: shorten them, take the images "
            "out, or choose another MLLM"
        )
