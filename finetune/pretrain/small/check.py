"""Is what `small` says right? Views of pictures from sources that it has never seen, with effects of known degree."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from numpy.random import Generator
from torch import Tensor
from transformers import InternVLForConditionalGeneration, PreTrainedTokenizerFast

from data.synthetic.captions import Turn
from finetune.pretrain.chats import pieces
from finetune.pretrain.small.effects import EFFECTS
from finetune.pretrain.small.model import IMAGE_STRING
from finetune.pretrain.small.sights import Sight
from finetune.pretrain.small.talk import (
    DESCRIBE,
    EFFECTS_SEEN,
    FROM_0_TO_9,
    HOW_MUCH,
    describe,
    effects,
    from_0_to_9,
    how_much,
)
from finetune.pretrain.small.train import to_pixels
from finetune.pretrain.small.views import DEGREES, Picture, Recipe

ANSWER_TOKENS = 64
NAMES = "|".join(sorted(EFFECTS, key=len)[::-1])
NAMED = re.compile(rf"\b({'|'.join(DEGREES)}) ({NAMES})\b", re.IGNORECASE)


class Case(NamedTuple):
    """A question about a view, and what would be right."""

    view: int
    about: Literal["everything", "effects", "number", "amount"]
    question: str
    right: str


def single_recipes(rng: Generator, pictures: Sequence[Picture], many: int) -> list[Recipe]:
    """Whole pictures with one effect: `many` of each degree of each, and as many with none as of one effect."""
    wanted: list[dict[str, float]] = [{} for _ in range(many * len(DEGREES))]
    for name in EFFECTS:
        for low, high in DEGREES.values():
            wanted += [{name: float(rng.uniform(low, high))} for _ in range(many)]
    return [Recipe(int(rng.integers(len(pictures))), None, turned=0, mirrored=False, effects=each) for each in wanted]


def cases(kinds: Sequence[str], sights: Sequence[Sight], recipes: Sequence[Recipe], rng: Generator) -> list[Case]:
    """Four questions about each view: describe it; its effects; how much of one that is there, or not, twice."""
    asked = []
    for view, (kind, sight, recipe) in enumerate(zip(kinds, sights, recipes, strict=True)):
        name = next(iter(recipe.effects), str(rng.choice(list(EFFECTS))))
        asked += [
            Case(view, "everything", DESCRIBE[0], describe(kind, sight, recipe)),
            Case(view, "effects", EFFECTS_SEEN[0], effects(recipe)),
            Case(view, "number", FROM_0_TO_9.format(name), from_0_to_9(recipe, name)),
            Case(view, "amount", HOW_MUCH[0].format(name), how_much(recipe, name)),
        ]
    return asked


@torch.inference_mode()
def answer(
    model: InternVLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    images: Tensor,
    asked: Sequence[Case],
    batch: int = 256,
) -> list[str]:
    """What the model says to each question, alone and first in its chat."""
    said: list[str] = []
    writer: Any = model  # the mixin that generates asks of its `self` what this class's types do not show
    for start in range(0, len(asked), batch):
        part = asked[start : start + batch]
        prompts = ["".join(pieces([Turn(case.question, "")], IMAGE_STRING, ask=True)) for case in part]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left").to(model.device)
        pixels = to_pixels(images[[case.view for case in part]].to(model.device)).to(model.dtype)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        out = writer.generate(input_ids=ids, attention_mask=mask, pixel_values=pixels, max_new_tokens=ANSWER_TOKENS)
        said += [text.strip() for text in tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)]
    return said


def marks(
    asked: Sequence[Case], said: Sequence[str], recipes: Sequence[Recipe], kinds: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Shares of right answers, by what was asked.

    An effect and its degree are read off the second question; `false alarms` is the share of the effects that are not
    there and are named all the same, a view. `off by` is the mean distance of a degree from 0 to 9, where it is there.
    """
    right: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for case, text in zip(asked, said, strict=True):
        recipe = recipes[case.view]
        if case.about == "everything":
            told_apart = float(text.split(",")[0] == case.right.split(",")[0])
            right["facts"]["photograph or generated"].append(told_apart)
            right["facts"][f"{kinds[case.view]} said to be one"].append(told_apart)
            for at, fact in enumerate(("colours", "brightest", "detail")):
                right["facts"][fact].append(float(_fact(text, at) == _fact(case.right, at)))
        elif case.about == "effects":
            found = {name.lower(): degree.lower() for degree, name in NAMED.findall(text)}
            for name, degree in recipe.degrees.items():
                right["kind"][name].append(float(name in found))
                right["degree"][f"{degree} {name}"].append(float(found.get(name) == degree))
            right["kind"]["none, and none named"] += [float(not found)] if not recipe.effects else []
            right["kind"]["false alarms a view"].append(float(len(found.keys() - recipe.effects.keys())))
        elif case.about == "amount":
            there = "there" if recipe.effects else "not there"
            right["questions"][f"how much, of what is {there}"].append(float(text == case.right))
        elif recipe.effects:
            number = re.search(r"\d", text)
            right["from 0 to 9"]["off by"].append(abs(int(number[0]) - int(case.right[0])) if number else 9.0)
    return {
        group: {name: round(sum(each) / len(each), 4) for name, each in sorted(part.items())}
        for group, part in sorted(right.items())
    }


def _fact(text: str, at: int) -> str:
    """Of the second sentence, the colours, the brightest side, the detail."""
    sentence = [*text.split(". "), "", ""][1]
    found = re.split(r",? brightest |, (?=hardly any|little|some|much)", sentence)
    return found[at] if at < len(found) else ""
