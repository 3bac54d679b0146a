"""Is what `tiny` says right? Questions about pictures of things it has never seen together.

Everything is compared with what the layout holds. A caption is read back by its grammar; answers must be right to
the letter.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, SmolVLMForConditionalGeneration

from data.synthetic.captions import Turn, converse
from data.synthetic.layouts import Layout, relation
from data.synthetic.scenes import COLOURS, COUNTS, GROUNDS, KINDS, LIGHTS, RELATIONS, Group, plural
from finetune.pretrain.chats import pieces
from finetune.pretrain.tiny.data import picture
from finetune.pretrain.tiny.model import IMAGE_STRING
from finetune.pretrain.tiny.train import to_pixels

ANSWER_TOKENS = 110
_KINDS = {form: kind for kind in KINDS for form in (kind, plural(kind))}
_A_THING = rf"({'|'.join(COLOURS)}) ({'|'.join(sorted(_KINDS, key=len)[::-1])})"
_THING = re.compile(rf"\b(an?|{'|'.join(COUNTS)}) {_A_THING}\b")

_RELATION = re.compile(rf"{_A_THING} ({'|'.join(RELATIONS)}) (?:an?|{'|'.join(COUNTS)}) {_A_THING}\b")


class Case(NamedTuple):
    """A picture, and a conversation about it."""

    layout: Layout
    turns: list[Turn]


class Assessment(NamedTuple):
    """How much of what a model says is right."""

    shares: dict[str, dict[str, float]]  # of right answers, by kind of question
    samples: list[dict[str, str]]  # some answers as they were given


def held_out(count: int, seed: int) -> list[Case]:
    """Layouts of reserved combinations, varied as in training, and a conversation about each."""
    rng = np.random.default_rng((seed, 1 << 20))
    cases = []
    for _ in range(count):
        scene, layout = picture(rng, reserved=True)
        cases.append(Case(layout, converse(layout, scene, rng)))
    return cases


@torch.inference_mode()
def answer(
    model: SmolVLMForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    images: Tensor,
    chats: Sequence[Sequence[Turn]],
    batch: int = 256,
) -> list[str]:
    """What the model says to the last question of each chat (its last answer is not shown to it)."""
    said: list[str] = []
    writer: Any = model  # the mixin that generates asks of its `self` what this class's types do not show
    for start in range(0, len(chats), batch):
        prompts = ["".join(pieces(turns, IMAGE_STRING, ask=True)) for turns in chats[start : start + batch]]
        inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left").to(model.device)
        pixels = to_pixels(images[start : start + batch].to(model.device))[:, None].to(model.dtype)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        out = writer.generate(input_ids=ids, attention_mask=mask, pixel_values=pixels, max_new_tokens=ANSWER_TOKENS)
        said += tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)
    return [text.strip() for text in said]


def things(text: str) -> dict[tuple[str, str], int]:
    """The counted things that a text names: {(colour, kind): count}."""
    found = _THING.findall(text)
    return {(colour, _KINDS[kind]): 1 if count in ("a", "an") else COUNTS.index(count) for count, colour, kind in found}


def read_caption(caption: str, layout: Layout, reference: str) -> dict[str, list[bool]]:
    """Which parts of a caption are right; a thing that is not there counts against the kinds and colours."""
    (first, *facts), (real_first, *real_facts) = (_sentences(text) for text in (caption, reference))
    named, real = things(first.lower()), {(g.colour, g.kind): g.count for g in layout.groups}
    kinds, real_kinds = Counter(kind for _, kind in named), Counter(kind for _, kind in real)
    hits = sum((kinds & real_kinds).values())
    misses = max(kinds.total(), real_kinds.total()) - hits
    right = [thing for thing in named if thing in real]
    return {
        "objects": [True] * hits + [False] * misses,
        "colours": [True] * len(right) + [False] * (max(len(named), len(real)) - len(right)),
        "counts": [named[thing] == real[thing] for thing in right],
        "all_things": [named == real],
        "relation": _relation(caption, layout),
        "first_sentence": [first == real_first],
        "ground": [GROUNDS[layout.ground] in caption.lower()],
        "light": [LIGHTS[layout.light] in caption.lower()],
        "style": [layout.style in caption.lower()],
        "appearance": [_blunt(facts) == _blunt(real_facts)],
        "appearance_with_degree": [facts == real_facts],
        "whole_caption": [caption == reference],
    }


def _relation(caption: str, layout: Layout) -> list[bool]:
    """Whether the stated relation holds; nothing where none is stated or a thing of it is not there."""
    stated = _RELATION.search(caption.lower())
    if not stated:
        return []
    one, other = ((stated[i], _KINDS[stated[i + 1]]) for i in (1, 4))
    if not {one, other} <= {(group.colour, group.kind) for group in layout.groups}:
        return []
    return [relation(layout, Group(1, *one), Group(1, *other)) == stated[3]]


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in text.removesuffix(".").split(".")]


def _blunt(facts: Sequence[str]) -> list[str]:
    return [re.sub(r"\b(slight|medium|strong) ", "", fact) for fact in facts]


def assess(
    model: SmolVLMForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    images: Tensor,
    cases: Sequence[Case],
) -> Assessment:
    """Ask about the pictures (n, size, size, 3) of `cases`."""
    groups = ("caption", "comparison", "questions")
    marks: dict[str, dict[str, list[bool]]] = {group: defaultdict(list) for group in groups}
    pick = {name: [next(t for t in turns if t[0].startswith(name)) for _, turns in cases] for name in ("Descr", "Comp")}
    captions = answer(model, tokenizer, images, [[turn] for turn in pick["Descr"]])
    for said, (_, truth), (layout, _) in zip(captions, pick["Descr"], cases, strict=True):
        for name, values in read_caption(said, layout, truth).items():
            marks["caption"][name] += values
    # The comparison as a second round, after the model's own caption, as well as a first one.
    rounds = {"first": [[turn] for turn in pick["Comp"]]}
    rounds["second"] = [
        [Turn(turn.question, said), compared]
        for turn, said, compared in zip(pick["Descr"], captions, pick["Comp"], strict=True)
    ]
    for place, chats in rounds.items():
        compared = answer(model, tokenizer, images, chats)
        for said, chat in zip(compared, chats, strict=True):
            truth = chat[-1][1]
            marks["comparison"][f"{place}_round_exact"].append(said == truth)
            marks["comparison"][f"{place}_round_same_or_not"].append(("Both" in said) == ("Both" in truth))
    shown = zip(captions, (truth for _, truth in pick["Descr"]), compared, strict=True)
    samples = [dict(zip(("caption", "truth", "comparison"), texts, strict=True)) for texts in islice(shown, 12)]
    details = [[turn] for _, turns in cases for turn in turns[2:]]
    owners = torch.tensor([i for i, (_, turns) in enumerate(cases) for _ in turns[2:]])
    for said, [(question, truth)] in zip(answer(model, tokenizer, images[owners], details), details, strict=True):
        marks["questions"][" ".join(question.rstrip("?").split()[:2])].append(said == truth)
        marks["questions"]["all"].append(said == truth)
    shares = {
        group: {name: round(sum(values) / max(len(values), 1), 4) for name, values in sorted(found.items())}
        for group, found in marks.items()
    }
    return Assessment(shares, samples)
