"""Scoring on full-size shapes: with a description, as `m3agiqa predict` does it, and without, as with `--fast`.

The floor of the first is `LocalMLLM` alone: a batch of images is decoded, described, and read with its descriptions.
The weights are random, so that no description ends early: each has DESCRIBED tokens. The heads are as they are drawn,
and the limits of the card are another judge's: neither changes how much is computed.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks.full_size import machine
from benchmarks.full_size.machine import DEVICE, ON_GPU, Ceilings
from m3agiqa import shipped
from m3agiqa.card import Card, read_card
from m3agiqa.head.model import build_head
from m3agiqa.images import load_image
from m3agiqa.judging import judged, opened
from m3agiqa.mllm import gpu
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.parts import Trained

BATCH, IMAGES = (32, 64) if ON_GPU else (4, 8)
DESCRIBED = 100 if ON_GPU else 8  # tokens


def measure(student: LocalMLLM, table: pd.DataFrame, _: Ceilings) -> None:
    if ON_GPU:
        student.graph = gpu.StepGraph(student._network)  # noqa: SLF001 (as LocalMLLM.load does)
    card = _card(student)
    head = build_head("xlstm", student.hidden_size, seed=0).to(DEVICE).eval()
    asked = [*zip(table["path"], table["prompt"], strict=True)][:IMAGES]
    found = {
        "the model alone": _seconds(lambda: _alone(student, asked)),
        "predict": _seconds(lambda: _scored(Trained(card, student, head, fast=False), asked)),
        "predict --fast": _seconds(lambda: _scored(Trained(card, student, head, fast=True), asked)),
    }
    for what, seconds in found.items():
        print(f"{what}: batch {BATCH}, {1e3 * seconds / IMAGES:.1f} ms an image, {machine.at_most()}", flush=True)
    whole, fast, floor = found["predict"], found["predict --fast"], found["the model alone"]
    print(
        f"predict: {floor / whole:.2f} x the images a second of the model alone; --fast: {whole / fast:.2f} x predict's"
    )


def _seconds(action: Callable[[], object]) -> float:
    """Of the faster of two runs, after one in which everything is compiled."""
    action()
    machine.forget_peak()
    return min(machine.seconds(action) for _ in range(2))


def _alone(student: LocalMLLM, asked: list[tuple[str, str]]) -> None:
    for start in range(0, len(asked), BATCH):
        rows = asked[start : start + BATCH]
        images = [load_image(Path(path)) for path, _ in rows]
        texts = student.describe(images, [conversation("quality", prompt) for _, prompt in rows], DESCRIBED)
        described = [conversation("quality", prompt, text) for (_, prompt), text in zip(rows, texts, strict=True)]
        student.read(images, described)


def _scored(trained: Trained, asked: list[tuple[str, str]]) -> None:
    read = opened(asked, most=BATCH)
    for _ in range(0, len(asked), BATCH):
        scores = judged(trained, [next(read) for _ in range(BATCH)], unfamiliar=True)
        if failed := [score.status for score in scores if score.score is None]:
            raise RuntimeError(failed[0])


def _card(student: LocalMLLM) -> Card:
    """Of the judge that ships, for a model of this width that writes DESCRIBED tokens."""
    card = read_card(shipped.judge() / "quality/card.json")
    content = card.familiar.content.model_copy(update=dict.fromkeys(("mean", "scale"), (0.0,) * student.hidden_size))
    familiar = card.familiar.model_copy(update={"content": content})
    profile = card.mllm.model_copy(update={"max_new_tokens": DESCRIBED})
    return card.model_copy(update={"familiar": familiar, "mllm": profile, "aspect": "quality"})
