"""Scoring on full-size shapes: with a description, as `m3agiqa predict` does it, and without, as with `--fast`.

The floor of the first is what the stages describe and features take for the same images, each alone in its own loop,
with images read and inputs made ahead; features in blocks that are compiled, which predict's are not. The weights are
random, so that no description ends early: each has DESCRIBED tokens. The heads are as they are drawn, and the limits of
the card are another judge's: neither changes how much is computed.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from benchmarks.full_size import machine
from benchmarks.full_size.machine import ON_GPU, Ceilings, where
from benchmarks.full_size.model import over_again, settings
from finetune.student import longest_first
from m3agiqa import shipped
from m3agiqa.card import Card, read_card
from m3agiqa.given import Opened
from m3agiqa.head.model import build_head
from m3agiqa.judging import judging, opened
from m3agiqa.mllm import gpu
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.overlap import Work, overlapped
from m3agiqa.parts import Trained
from m3agiqa.score import Score
from m3agiqa.scorer import AHEAD
from stages import describe, features

BATCH, TIMES = (32, 5) if ON_GPU else (4, 2)  # images at once, and how often all are taken
DESCRIBED = 100 if ON_GPU else 8  # tokens


def measure(student: LocalMLLM, table: pd.DataFrame, _: Ceilings) -> None:
    if ON_GPU:
        student.graph = gpu.StepGraph(student._network)  # noqa: SLF001 (as LocalMLLM.load does)
    card = _card(student)
    head = build_head("xlstm", student.hidden_size, seed=0).to(where()).eval()
    many = over_again(table, TIMES)
    found = {
        "predict": _seconds(many, lambda rows: _score(Trained(card, student, head, fast=False), rows)),
        "predict --fast": _seconds(many, lambda rows: _score(Trained(card, student, head, fast=True), rows)),
        "describe": _seconds(many, lambda rows: _describe(student, rows)),
    }
    student.compile()
    found["features"] = _seconds(many, lambda rows: _read(student, rows))
    for what, seconds in found.items():
        print(f"{what}: batch {BATCH}, {1e3 * seconds / len(many):.1f} ms an image", flush=True)
    whole, fast = found["predict"], found["predict --fast"]
    print(
        f"predict: {(found['describe'] + found['features']) / whole:.2f} x the images a second of describe and "
        f"features, {machine.at_most()}; --fast: {whole / fast:.2f} x predict's"
    )


def _seconds(table: pd.DataFrame, action: Callable[[pd.DataFrame], None]) -> float:
    """For all images, after a batch of those with the longest texts, for which everything is compiled."""
    longest = table.assign(words=table["prompt"].str.len() + table["description"].str.len())
    action(longest.nlargest(BATCH, "words"))
    return machine.seconds(lambda: action(table))


def _score(trained: Trained, table: pd.DataFrame) -> None:
    """As `predict` does."""

    def works() -> Iterator[Work[list[Score]]]:
        asked = [*zip(table["path"], table["prompt"], strict=True)]
        longest = longest_first(trained.mllm, table.drop(columns="description"), trained.card.aspect, Path())
        order = table.index.get_indexer(longest.index).tolist()
        cut = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        read: Iterator[Opened] = opened([asked[row] for rows in cut for row in rows], most=BATCH)
        for rows in cut:
            yield judging(trained, [next(read) for _ in rows], unfamiliar=True)

    for scores in overlapped(works(), AHEAD if ON_GPU else 0):
        if failed := [score.status for score in scores if score.score is None]:
            raise RuntimeError(failed[0])


def _describe(student: LocalMLLM, table: pd.DataFrame) -> None:
    chosen = settings(BATCH, DESCRIBED)
    cut = describe.batches(student, table.reset_index(names="image_id"), chosen, Path())
    for _ in describe.answers(student, cut, chosen, Path()):
        pass


def _read(student: LocalMLLM, table: pd.DataFrame) -> None:
    chosen = settings(BATCH)
    rows = longest_first(student, table, chosen.aspect, Path())
    parts = [rows.iloc[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    for _ in features.states(student, parts, chosen, Path()):
        pass


def _card(student: LocalMLLM) -> Card:
    """Of the judge that ships, for a model of this width that writes DESCRIBED tokens."""
    card = read_card(shipped.judge() / "quality/card.json")
    content = card.familiar.content.model_copy(update=dict.fromkeys(("mean", "scale"), (0.0,) * student.hidden_size))
    familiar = card.familiar.model_copy(update={"content": content})
    profile = card.mllm.model_copy(update={"max_new_tokens": DESCRIBED})
    return card.model_copy(update={"familiar": familiar, "mllm": profile, "aspect": "quality"})
