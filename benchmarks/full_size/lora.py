"""LoRA training through `finetune.distill.training`: FLOPs that count beside the ceiling.

A step's FLOPs: the images seen once (the vision tower is frozen), the text forward and, for the gradients of the
activations, backward again as much; LoRA's own products count as nothing. A batch is of images of like length, so that
steps differ: shown is the mean over whole windows of the order of training, after a first one, in which all is
compiled, and before the last one, into which the checkpoint falls; the stage writes twenty a run, however long.
"""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar
from unittest.mock import patch

import pandas as pd
from peft import PeftModel

from benchmarks.full_size import machine
from benchmarks.full_size.machine import ON_GPU, Ceilings
from benchmarks.full_size.model import flops as flops_of
from finetune.distill import training
from finetune.distill.examples import Collator, Examples
from finetune.distill.order import WINDOW
from m3agiqa.ahead import DECODERS
from m3agiqa.mllm.model import LocalMLLM
from pipeline.profiles import Recipe
from pipeline.settings import load

T = TypeVar("T")
STEPS, TIMED = (4 * WINDOW, (WINDOW, 3 * WINDOW)) if ON_GPU else (8, (2, 4))
BATCHES = (2, 4)


def _examples(table: pd.DataFrame, count: int) -> Examples:
    """The described images with a rating word, over again until there are `count`."""
    rows = table.iloc[[row % len(table) for row in range(count)]]
    return Examples(Path(), "quality", rows.assign(quality=rows["description"], mos_quality=3.5))


def measure(student: LocalMLLM, table: pd.DataFrame, ceilings: Ceilings, *, twice: bool = False) -> None:
    """With `twice`, the activations are computed twice."""
    settings = load()
    lora = settings.mllms["minicpm-llama3-v-2_5"].lora.model_copy(update={"modules_to_save": []})
    learner = student.add_lora(lora, seed=0)
    for name, parameter in learner.named_parameters():
        assert parameter.requires_grad == ("lora_" in name)  # noqa: S101  what is counted rests on it
    an_image = flops_of(student, table)
    flops = an_image.seen + 2 * an_image.read
    for kind in ("compiled, activations computed twice",) if twice else ("as it comes", "compiled"):
        if twice:
            student.compute_twice()
        elif kind == "compiled":
            student.compile()
        peaks = {}
        for batch in BATCHES:
            machine.forget_peak()
            took = step(student, learner, table, batch)
            print(
                f"LoRA step, {kind}: batch {batch}, {1e3 * took / batch:.0f} ms an image, "
                f"{flops * batch / took / ceilings.flops:.0%} of the ceiling, "
                f"{machine.at_most()}",
                flush=True,
            )
            peaks[batch] = machine.peak()
        print(f"LoRA step, {kind}, memory: {machine.largest_batches(peaks)}", flush=True)


def step(
    student: LocalMLLM, learner: PeftModel, table: pd.DataFrame, batch: int, micro_batch: int | None = None
) -> float:
    """Seconds of a step of a run of `distill`, on average; `micro_batch` images at once, or the whole batch."""
    turns: list[float] = []  # when the steps TIMED begin

    def clock(steps: Iterable[T], /, **_: object) -> Iterable[T]:
        for number, step in enumerate(steps):
            if number in TIMED:
                machine.wait()
                turns.append(time.perf_counter())
            yield step

    settings, recipe = load().distill, Recipe(epochs=1, batch=batch, lr=1e-6, word_weight=1, word_spread=0, crop=1.0)
    words = student.word_tokens, recipe.word_weight, recipe.word_spread
    train, val = _examples(table, STEPS * batch), _examples(table, batch)
    fitter = student.fitter
    with tempfile.TemporaryDirectory() as folder, patch.object(training, "CHECKPOINTS", 1):
        training.distill(
            learner,
            training.Conversations(train, val, train.lengths(fitter), Collator(fitter, student.dtype, *words)),
            settings,
            recipe,
            checkpoints=Path(folder) / "checkpoints",
            out=Path(folder) / "out",
            micro_batch=micro_batch,
            workers=DECODERS,
            progress=clock,
        )
    return (turns[1] - turns[0]) / (TIMED[1] - TIMED[0])
