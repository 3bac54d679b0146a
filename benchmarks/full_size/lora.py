"""LoRA training through `finetune.distill.training`: FLOPs that count beside the ceiling.

A step's FLOPs: the images seen once (the vision tower is frozen), the text forward and, for the gradients of the
activations, backward again as much; LoRA's own products count as nothing. Checkpoints are written between steps; the
median step has none.
"""

import statistics
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pandas as pd
import torch
from peft import PeftModel

from benchmarks.full_size.model import Ceilings, largest_batches, llama_flops, peak, tokens, vision_flops
from finetune.distill.training import Conversations, distill
from m3agiqa.images import load_image
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.fitting import Example
from m3agiqa.mllm.model import LocalMLLM
from pipeline.settings import load

T = TypeVar("T")
STEPS = 24
BATCHES = (2, 4)


@dataclass(frozen=True)
class Examples:
    """The described images with a rating word, read from disk when asked for."""

    table: pd.DataFrame
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Example:
        row = self.table.iloc[index % len(self.table)]
        chat = conversation("quality", row["prompt"], row["description"], "good")
        return Example(load_image(Path(row["path"])), chat)


def measure(student: LocalMLLM, table: pd.DataFrame, ceilings: Ceilings, *, twice: bool = False) -> None:
    """With `twice`, the activations are computed twice."""
    settings = load()
    lora = settings.mllms["minicpm-llama3-v-2_5"].lora.model_copy(update={"modules_to_save": []})
    learner = student.add_lora(lora, seed=0)
    for name, parameter in learner.named_parameters():
        assert parameter.requires_grad == ("lora_" in name)  # noqa: S101  what is counted rests on it
    flops = vision_flops() + 2 * llama_flops(tokens(student, table))
    for kind in ("compiled, activations computed twice",) if twice else ("as it comes", "compiled"):
        if "compiled" in kind:
            student.compile(activation_checkpointing=twice)
        peaks = {}
        for batch in BATCHES:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            step = _step(student, learner, table, batch, activation_checkpointing=twice)
            print(
                f"LoRA step, {kind}: batch {batch}, {1e3 * step / batch:.0f} ms an image, "
                f"{flops * batch / step / ceilings.flops:.0%} of the ceiling, "
                f"{peak():.0f} GB at most",
                flush=True,
            )
            peaks[batch] = peak()
        print(f"LoRA step, {kind}, memory: {largest_batches(peaks)}", flush=True)


def _step(
    student: LocalMLLM, learner: PeftModel, table: pd.DataFrame, batch: int, *, activation_checkpointing: bool
) -> float:
    """Seconds of the median step of a run of `distill`, the first five left out."""
    ends: list[float] = []

    def clock(steps: Iterable[T], /, **_: object) -> Iterable[T]:
        for step in steps:
            torch.cuda.synchronize()
            ends.append(time.perf_counter())
            yield step

    settings = load().distill.model_copy(update={"epochs": 1, "batch": batch})
    train, val = Examples(table, STEPS * batch), Examples(table, batch)
    with tempfile.TemporaryDirectory() as folder:
        distill(
            learner,
            Conversations(train, val, [1] * len(train), student.training_batch),
            settings,
            checkpoints=Path(folder) / "checkpoints",
            out=Path(folder) / "out",
            activation_checkpointing=activation_checkpointing,
            progress=clock,
        )
    return statistics.median(end - start for start, end in pairwise(ends[5:]))
