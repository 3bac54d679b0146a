"""What outlives a kill: whole checkpoints, and the best adapter so far."""

import math
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from m3agiqa.errors import InputError
from m3agiqa.files import sync_folder
from m3agiqa.mllm import adapters
from m3agiqa.progress import Progress

COMPLETE = "complete"  # the marker of a whole checkpoint


def newest(checkpoints: Path) -> str | None:
    """The latest whole checkpoint; what a kill left half-written is removed."""
    found = {int(path.name.removeprefix("checkpoint-")): path for path in checkpoints.glob("checkpoint-*")}
    for step, path in list(found.items()):
        if not (path / COMPLETE).exists():
            shutil.rmtree(path)
            del found[step]
    return str(found[max(found)]) if found else None


class Keeper(TrainerCallback):
    """Scores each epoch, keeps the best adapter, marks whole checkpoints, moves the progress bar."""

    def __init__(self, checkpoints: Path, epoch_ends: set[int], select: str, progress: Progress) -> None:
        self.checkpoints = checkpoints
        self.epoch_ends = epoch_ends
        self.select = select
        self.progress = progress

    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002 (the base class names what it gives)
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        left = range(state.global_step, state.max_steps)
        self.ticks = iter(self.progress(left, total=len(left), desc="distill", unit="step"))
        next(self.ticks, None)

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        next(self.ticks, None)
        control.should_evaluate = state.global_step in self.epoch_ends
        control.should_log |= control.should_evaluate

    def on_evaluate(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,
    ) -> None:
        *earlier, now = [row for row in state.log_history if "eval_loss" in row]
        if not math.isfinite(loss := now["eval_loss"]):
            raise InputError(
                f"distillation diverged: val loss {loss} at step {state.global_step}; lower the recipe's lr"
            )
        best = max((self._worth(row) for row in earlier), default=None)
        if (best is None or self._worth(now) > best) and state.is_world_process_zero:
            adapters.save(kwargs["model"], self.checkpoints)

    def _worth(self, row: dict[str, float]) -> "_Worth":
        """By what an epoch is selected; the val loss decides between equal ones."""
        chosen = -math.inf if math.isnan(row[f"eval_{self.select}"]) else row[f"eval_{self.select}"]
        return _Worth(-chosen if self.select == "loss" else chosen, -row["eval_loss"])

    def on_save(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        PartialState().wait_for_everyone()  # each process has a file in the folder
        if not state.is_world_process_zero:
            return
        folder = self.checkpoints / f"checkpoint-{state.global_step}"
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        (folder / COMPLETE).touch()
        sync_folder(folder)
        for other in self.checkpoints.glob("checkpoint-*"):
            if other != folder:
                shutil.rmtree(other)


class _Worth(NamedTuple):
    """More is better."""

    chosen: float
    less_loss: float
