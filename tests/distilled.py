"""Distillations of a tiny student on 18 pictures, in 8 steps that may be killed."""

import os
import signal
from pathlib import Path
from unittest import mock

from transformers import logging

from finetune.distill import training as module
from finetune.distill.training import Conversations, distill
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.model import LocalMLLM
from pipeline.profiles import Distill, Recipe
from tests.tiny_mllm import Taught, collator, load, lora, picture

logging.disable_progress_bar()

FILES = ("adapter_config.json", "adapter_model.safetensors")
IMAGES = [picture(i).point(lambda value, bright=i % 2: value // 4 + 190 * bright) for i in range(18)]
EXAMPLES = [
    (
        image,
        conversation("quality", f"{i} cubes", "It is" + " very" * (i % 5) + (" bright." if i % 2 else " dark."), word),
    )
    for i, (image, word) in enumerate(zip(IMAGES, ["bad", "good"] * 9, strict=True))
]
TRAIN, VAL = EXAMPLES[:10], EXAMPLES[10:]
STEPS = 8  # 3 epochs × 10 examples in batches of 4


class KillAt:
    """A progress bar under which the process dies by SIGKILL, or the run stops, at step `step`."""

    def __init__(self, step: int, how: str) -> None:
        self.step, self.how = step, how

    def __call__(self, iterable, **_):
        for step in iterable:
            yield step
            if step + 1 == self.step:
                if self.how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise KeyboardInterrupt


def student(model: Path, **settings) -> LocalMLLM:
    mllm = load(model, **settings)
    if "adapter" not in settings:
        mllm.add_lora(lora(r=4, alpha=4, dropout=0.1, modules_to_save=["modality_projection"]), seed=0)
    return mllm


SETTINGS = {"enabled": True, "seed": 0, "warmup": 0.1, "weight_decay": 0.1, "beta2": 0.95, "select": "loss"}
RECIPE = {"epochs": 3, "batch": 4, "lr": 1e-2, "word_weight": 1.0, "word_spread": 0.0}
RECIPE |= {"crop": 1.0}  # Taught crops by itself


def run(model: Path, folder: Path, mllm: LocalMLLM | None = None, train=TRAIN, val=VAL, **changed):
    """Distill with a logged loss every second step and a checkpoint every fourth."""
    mllm = mllm or student(model)
    settings, recipe = (
        made(**usual | {name: changed.pop(name) for name in usual.keys() & changed})
        for made, usual in ((Distill, SETTINGS), (Recipe, RECIPE))
    )
    lengths = [len(each[1][1]["content"][0]["text"]) for each in train]
    collate = collator(mllm, recipe.word_weight, recipe.word_spread)
    with mock.patch.multiple(module, CHECKPOINTS=2, PER_LOG=2):
        return distill(
            mllm.model,
            Conversations(as_taught(train), as_taught(val), lengths, collate),
            settings,
            recipe,
            checkpoints=folder / "checkpoints",
            out=folder / "adapter",
            **changed,
        )


def as_taught(given):
    """Pairs of an image and a conversation are given the MOS of their word; examples stay as they are."""
    return given if isinstance(given, Taught) else Taught(given)


def same(folder, whole):
    return all((folder / "adapter" / name).read_bytes() == (whole / "adapter" / name).read_bytes() for name in FILES)
