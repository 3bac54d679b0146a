"""Trained aspects in miniature: a real vision-language model, random adapters and heads, and their cards."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from m3agiqa.aspects import Scale
from m3agiqa.card import FORMAT, Card, head_sha256, read_card, write_card
from m3agiqa.head.batch import Batch, Row
from m3agiqa.head.model import build_head, save_head, statistics
from m3agiqa.mllm import adapters
from m3agiqa.mllm.conversation import QUESTIONS, conversation
from m3agiqa.parts import Part
from m3agiqa.spans import Span
from m3agiqa.warnings.images import Content, content_of, distance, limits_of
from m3agiqa.warnings.images import facts as facts_of
from tests.tiny_mllm import load, lora, picture, texts_of

TRAINING = [(picture(seed), f"a red cube, number {seed}") for seed in range(12)]
INTERVAL = {"level": 0.9, "half_width": 0.5, "coverage": 0.9}
PREFERENCE = {"spread": 0.4, "within_prompts": True}
PROFILE = {"revision": None, "dtype": "float32", "max_length": 200, "max_new_tokens": 8, "fewer_views": []}


def trained(
    model: Path, folder: Path, aspects: tuple[str, ...] = ("quality",), training: list = TRAINING, **profile: Any
) -> dict[str, Part]:
    """One `Part` an aspect below `folder`, laid out as the stages do for the data set `made`."""
    profile = PROFILE | profile
    return {aspect: _trained(model, folder, aspect, seed, training, profile) for seed, aspect in enumerate(aspects)}


def rated_on(scale: tuple[float, float], part: Part, folder: Path) -> Part:
    """The same part, as if people had rated its training images on another scale."""
    card = read_card(part.card).model_copy(update={"scale": Scale(*scale)})
    write_card(card, folder / "card.json")
    return replace(part, card=folder / "card.json")


def _trained(model: Path, folder: Path, aspect: str, seed: int, training: list, profile: dict[str, Any]) -> Part:
    kinds = ("adapters", "heads", "fast_heads")
    adapter, head, fast_head = (folder / "models" / kind / f"made-{aspect}" for kind in kinds)
    card = folder / "models" / "cards" / f"made-{aspect}.json"
    fresh = load(model, **profile)
    fresh.add_lora(lora(alpha=4), seed=seed)
    with torch.no_grad():
        for name, weight in fresh.model.named_parameters():
            if "lora_B" in name:  # zero at first: an adapter that says nothing
                weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(seed))
    adapters.save(fresh.model, adapter)
    student = load(model, adapter=adapter, **profile)
    images, prompts = zip(*training, strict=True)
    said = texts_of(student, images, [conversation(aspect, prompt) for prompt in prompts], profile["max_new_tokens"])
    asked = [conversation(aspect, prompt, text) for prompt, text in zip(prompts, said, strict=True)]
    batch = Batch.of(Row(str(row), r.states, r.description) for row, r in enumerate(student.read(images, asked)))
    save_head(_head(student.hidden_size, seed, batch), head)
    seen = student.look(student.inputs(images, [conversation(aspect, prompt) for prompt in prompts]))
    cut = Batch.of(Row("", states, Span(len(states) - 1, len(states))) for states in seen)
    save_head(_head(student.hidden_size, seed + 10, cut), fast_head)
    tokens = student.fitter.chat.image_end(images[0])
    seen = content_of(batch.states, batch.mask, tokens)
    moments = {"mean": tuple(seen.mean(dim=0).tolist()), "scale": tuple((1 / seen.std(dim=0)).tolist())}
    content = Content(tokens=tokens, distance=0, **moments)
    far = distance(batch.states, batch.mask, content).max()
    facts = {
        "format": FORMAT,
        "dataset": "made",
        "aspect": aspect,
        "mllm": {"model": str(model), **profile},
        "adapted": True,
        "identity": student.identity,
        "head": {"sha256": head_sha256(head), "interval": INTERVAL, "preference": PREFERENCE},
        "fast_head": {
            "sha256": head_sha256(fast_head),
            "interval": INTERVAL | {"half_width": 0.7},
            "preference": PREFERENCE | {"spread": 0.6},
        },
        "questions": QUESTIONS,
        "familiar": {
            "limits": limits_of(map(facts_of, images)),
            "prompt_characters": (1, 60),
            "content": content.model_copy(update={"distance": float(far)}),
        },
        "world": "real",
        "mos": tuple(np.linspace(1, 4, 13)),
        "scale": (0.0, 5.0),
        "figures": {
            "n": 3,
            "n_train": 12,
            "n_val": 3,
            "srcc": 0.5,
            "plcc": None,
            "rmse": 0.7,
            "fast": {"srcc": 0.4, "plcc": None},
        },
        "made_with": {"torch": torch.__version__},
        "made_on": {"train": {"device": "cpu"}},
    }
    write_card(Card.model_validate(facts), card)
    return Part(card, adapter, head, fast_head, model)


def _head(dim: int, seed: int, batch: Batch):
    """A new head gives every image the mean MOS; this one looks at the states, which are like those of `batch`."""
    head = build_head("xlstm", dim, seed=seed, dim=16, blocks=2, slstm_at=[1], heads=2, hidden=8)
    with torch.no_grad():
        head.regressor[-1].weight.normal_(generator=torch.Generator().manual_seed(seed))
        head.mos_mean.fill_(2.5)
        moments = statistics(*batch.tensors)
        head.image_mean.copy_(moments.mean(dim=0))
        head.image_scale.copy_(1 / (moments.std(dim=0) + 1e-6))
    return head
