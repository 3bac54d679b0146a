"""LoRA distillation: the local MLLM learns to say what the teacher says.

transformers' Trainer does the work, and its checkpoints hold weights, optimizer, schedule and random state. Four
things around it make a run a function of its inputs, killed or not, in one process or in many, whatever memory holds:

- The order of all epochs is one list, drawn from the seed before anything starts. To resume is to skip its head.
- A checkpoint counts once its marker file is there, which is written last.
- Each process takes its share of every batch, a few images at a time, and a loss is the mean over the tokens of the
  whole batch, in which the rating word counts for `word_weight` (finetune/distill/words.py). The same numbers are added
  in another order: float32 losses agree within 1e-5, within 1e-6 in one process. (Dropout draws for each process and
  for as many images as there are at a time: otherwise.)
- The best adapter so far is kept beside the checkpoints. A replay from an older checkpoint finds the same one again.

After each epoch the val conversations are scored, and the best epoch is kept, not the last: a few hundred conversations
are learned by heart within a handful of epochs, and the cosine does not know when. `settings.select` says which is
best: the one with the lowest val loss, of which the teacher's prose is most, or the one that rates val images best.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from accelerate import PartialState
from peft import PeftModel
from transformers import PrinterCallback, TrainingArguments

from finetune.distill.checkpoints import Keeper, newest
from finetune.distill.order import order
from finetune.distill.rating import Rating
from finetune.distill.trainer import Collate, Examples, ShareTrainer
from m3agiqa.mllm import adapters
from m3agiqa.progress import Progress, silent
from pipeline.profiles import Distill, Recipe

CHECKPOINTS = 20  # a run: a kill costs at most a twentieth of it
JUDGED = ("loss", *Rating._fields)  # what is told of the val images
CURVE = ["step", "epoch", "train_loss", "lr", *(f"val_{name}" for name in JUDGED)]
PER_LOG = 5  # logged losses between two checkpoints


@dataclass(frozen=True)
class Conversations:
    """What is learned from, and what tells which epoch to keep."""

    train: Examples
    val: Examples
    lengths: Sequence[int]  # of the train examples, in any unit: batches hold examples of similar length
    collate: Collate  # makes a list of examples into sets of tensors with labels (-100: not learned)


def distill(
    model: PeftModel,
    data: Conversations,
    settings: Distill,
    recipe: Recipe,
    *,
    checkpoints: Path,
    out: Path,
    micro_batch: int | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Train what is trainable in `model` and write the best epoch's adapter to the folder `out`.

    The learning rate rises over the share `settings.warmup` of the steps, then falls along a cosine to 0.
    `micro_batch` images at most are learned from at once, all of a batch with None: less memory, and a step is still a
    whole batch's. `workers` are processes that read ahead; on Python 3.14, and where this one was spawned, they are
    spawned, so that `data` must be picklable.

    `checkpoints` belongs to one run: name it by everything that shapes the run. A call with the checkpoints of a
    killed run goes on from there, and writes the same bytes as if nothing had happened.

    `model` itself is left with the last epoch's weights.

    Returns:
        The loss curve: `step`, `epoch`, `train_loss` (mean since the row before), `lr`, and where an epoch ends (NaN
        elsewhere) `val_loss`, `val_word_accuracy` and `val_srcc` (finetune/distill/rating.py).

    Raises:
        InputError: the val loss is no number any more.
    """
    epochs, batch = recipe.epochs, recipe.batch
    examples = order(data.lengths, epochs, batch, settings.seed)
    steps = math.ceil(len(examples) / batch)
    keeper = Keeper(
        checkpoints, {math.ceil(steps * (epoch + 1) / epochs) for epoch in range(epochs)}, settings.select, progress
    )
    trainer = ShareTrainer(
        model=model,
        args=_arguments(model, settings, recipe, steps, checkpoints, workers),
        collate=data.collate,
        train_dataset=data.train,
        eval_dataset=data.val,
        callbacks=[keeper],
        batches=[examples[at : at + batch] for at in range(0, len(examples), batch)],
        micro_batch=micro_batch or batch,
    )
    trainer.remove_callback(PrinterCallback)
    process = PartialState()
    with process.main_process_first():  # which removes what a kill left half-written
        checkpoint = newest(checkpoints)
    trainer.train(resume_from_checkpoint=checkpoint)
    if process.is_main_process:
        adapters.save(model, out, weights=checkpoints / adapters.WEIGHTS)
    process.wait_for_everyone()
    return _curve(trainer.state.log_history, epochs, steps)


def _arguments(
    model: PeftModel,
    settings: Distill,
    recipe: Recipe,
    steps: int,
    checkpoints: Path,
    workers: int,
) -> TrainingArguments:
    every = max(1, steps // (CHECKPOINTS * PER_LOG))
    device = next(model.parameters()).device
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=recipe.batch,
        learning_rate=recipe.lr,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(settings.warmup * steps),
        weight_decay=settings.weight_decay,
        adam_beta2=settings.beta2,
        seed=settings.seed,
        train_sampling_strategy="sequential",  # the order is the shuffle
        logging_steps=every,
        logging_nan_inf_filter=False,  # it would wait for the device in every step, and tell a loss that there was not
        save_steps=every * PER_LOG,  # a multiple: no half-summed loss is lost with a kill
        bf16=model.dtype == torch.bfloat16,
        use_cpu=device.type == "cpu",
        prediction_loss_only=True,
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_num_workers=workers,
        dataloader_pin_memory=device.type == "cuda",
        disable_tqdm=True,
        report_to="none",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001  Trainer would split each batch over all GPUs it sees
    return arguments


def _curve(history: list[dict[str, float]], epochs: int, steps: int) -> pd.DataFrame:
    val = {row["step"]: row for row in history if "eval_loss" in row}
    rows = [
        {
            "step": row["step"],
            "epoch": row["step"] / steps * epochs,
            "train_loss": row["loss"],
            "lr": row["learning_rate"],
            **{f"val_{name}": val.get(row["step"], {}).get(f"eval_{name}", math.nan) for name in JUDGED},
        }
        for row in history
        if "loss" in row
    ]
    return pd.DataFrame(rows, columns=CURVE)
