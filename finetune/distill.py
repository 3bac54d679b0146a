"""LoRA distillation: the local MLLM learns to say what the teacher says.

transformers' Trainer does the work, and its checkpoints hold weights, optimizer, schedule and random state. Three
things around it make a run a function of its inputs, killed or not:

- The order of all epochs is one list, drawn from the seed before anything starts. To resume is to skip its head.
- A checkpoint counts once its marker file is there, which is written last.
- The best adapter so far is kept beside the checkpoints. A replay from an older checkpoint finds the same one again.

After each epoch the val conversations are scored, and the epoch with the lowest val loss is kept, not the last: a few
hundred conversations are learned by heart within a handful of epochs, and the cosine does not know when.
"""

import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset, Subset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data.errors import InputError
from data.files import atomic, sync_folder, write_json

Collate = Callable[[list[Any]], dict[str, Tensor]]

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
COMPLETE = "complete"  # the marker of a whole checkpoint
CHECKPOINTS = 20  # a run: a kill costs at most a twentieth of it
PER_LOG = 5  # logged losses between two checkpoints
WINDOW = 16  # batches whose examples are sorted by length together


def distill(
    model: PeftModel,
    train: Dataset,
    val: Dataset,
    collate: Collate,
    *,
    lengths: Sequence[int],
    epochs: int,
    batch: int,
    lr: float,
    weight_decay: float,
    beta2: float,
    warmup: float,
    seed: int,
    checkpoints: Path,
    out: Path,
    progress: Callable[..., Iterable[Any]] = lambda iterable, **_: iterable,
) -> pd.DataFrame:
    """Train what is trainable in `model` and write the best epoch's adapter to the folder `out`.

    `collate` makes a list of examples into tensors with labels (-100: not learned). `lengths` are the train examples'
    lengths in any unit: batches hold examples of similar length, so that little of them is padding. `warmup` is a
    share of the steps; the learning rate then falls along a cosine to 0.

    `checkpoints` belongs to one run: name it by everything that shapes the run. A call with the checkpoints of a
    killed run goes on from there, and writes the same bytes as if nothing had happened.

    `model` itself is left with the last epoch's weights.

    Returns:
        The loss curve: `step`, `epoch`, `train_loss` (mean since the row before), `lr`, and `val_loss` where an epoch
        ends (NaN elsewhere).

    Raises:
        InputError: the val loss is no number any more.
    """
    order = _order(lengths, epochs, batch, seed)
    steps = math.ceil(len(order) / batch)
    every = max(1, steps // (CHECKPOINTS * PER_LOG))
    device = next(model.parameters()).device
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=batch,
        learning_rate=lr,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(warmup * steps),
        weight_decay=weight_decay,
        adam_beta2=beta2,
        seed=seed,
        train_sampling_strategy="sequential",  # `order` is the shuffle
        logging_steps=every,
        save_steps=every * PER_LOG,  # a multiple: no half-summed loss is lost with a kill
        bf16=model.dtype == torch.bfloat16,
        use_cpu=device.type == "cpu",
        prediction_loss_only=True,
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        report_to="none",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001  Trainer would split each batch over all GPUs it sees
    keeper = _Keeper(checkpoints, {math.ceil(steps * (epoch + 1) / epochs) for epoch in range(epochs)}, progress)
    trainer = _Trainer(
        model=model,
        args=arguments,
        data_collator=collate,
        train_dataset=Subset(train, order),
        eval_dataset=val,
        callbacks=[keeper],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=_newest(checkpoints))
    save_adapter(model, out, weights=checkpoints / WEIGHTS)
    return _curve(trainer.state.log_history, epochs, steps)


def save_adapter(model: PeftModel, out: Path, weights: Path | None = None) -> None:
    """Write the adapter's two files to the folder `out`: its own `weights` as they are, or those of that file."""
    with atomic(out / WEIGHTS) as temporary:
        if weights is None:
            state = get_peft_model_state_dict(model, save_embedding_layers=False)
            save_file({name: value.contiguous() for name, value in state.items()}, temporary, metadata={"format": "pt"})
        else:
            shutil.copyfile(weights, temporary)
    settings = model.peft_config["default"].to_dict()
    sets = {key: sorted(value) for key, value in settings.items() if isinstance(value, set)}  # a set has no order
    write_json(out / SETTINGS, settings | sets | {"inference_mode": True})


class _Trainer(Trainer):
    """Trainer with a loss that makes logits only where something is learned, and checkpoints of the adapter alone."""

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002  nothing is accumulated over batches
    ) -> Any:
        """Mean cross-entropy of the learned tokens."""
        following = inputs.pop("labels")[:, 1:]  # (B, T-1): the token after each
        learned = (following != -100).any(dim=0).nonzero().flatten()  # (K,)
        outputs = model(**inputs, logits_to_keep=learned, use_cache=False)
        logits = outputs.logits  # (B, K, V), or (B, T, V) where a model does not know logits_to_keep
        if logits.shape[1] != len(learned):
            logits = logits[:, learned]
        loss = cross_entropy(logits.float().flatten(0, 1), following[:, learned].flatten())  # (B K, V), (B K)
        return (loss, outputs) if return_outputs else loss

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:  # noqa: ARG002
        save_adapter(self.model, Path(output_dir))


class _Keeper(TrainerCallback):
    """Scores each epoch, keeps the best adapter, marks whole checkpoints, moves the progress bar."""

    def __init__(self, checkpoints: Path, epoch_ends: set[int], progress: Callable[..., Iterable[Any]]) -> None:
        self.checkpoints = checkpoints
        self.epoch_ends = epoch_ends
        self.progress = progress

    def on_train_begin(self, _: TrainingArguments, state: TrainerState, *__: Any, **___: Any) -> None:
        left = range(state.global_step, state.max_steps)
        self.ticks = iter(self.progress(left, total=len(left), desc="distill", unit="step"))
        next(self.ticks, None)

    def on_step_end(self, _: TrainingArguments, state: TrainerState, control: TrainerControl, **__: Any) -> None:
        next(self.ticks, None)
        control.should_evaluate = state.global_step in self.epoch_ends
        control.should_log |= control.should_evaluate

    def on_evaluate(self, _: TrainingArguments, state: TrainerState, *__: Any, model: PeftModel, **___: Any) -> None:
        *earlier, loss = [row["eval_loss"] for row in state.log_history if "eval_loss" in row]
        if not math.isfinite(loss):
            raise InputError(f"distillation diverged: val loss {loss} at step {state.global_step}; lower distill.lr")
        if loss < min(earlier, default=math.inf):
            save_adapter(model, self.checkpoints)

    def on_save(self, _: TrainingArguments, state: TrainerState, *__: Any, **___: Any) -> None:
        folder = self.checkpoints / f"checkpoint-{state.global_step}"
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        (folder / COMPLETE).touch()
        sync_folder(folder)
        for other in self.checkpoints.glob("checkpoint-*"):
            if other != folder:
                shutil.rmtree(other)


def _order(lengths: Sequence[int], epochs: int, batch: int, seed: int) -> list[int]:
    """Which example comes when, for all epochs in one list; `batch` in a row are of similar length.

    Within windows of WINDOW batches the shuffled examples are sorted by length, and the batches shuffled again. Only
    the very last batch may be short.
    """
    draw = torch.Generator().manual_seed(seed)
    shuffled = [i for _ in range(epochs) for i in torch.randperm(len(lengths), generator=draw).tolist()]
    order: list[int] = []
    for start in range(0, len(shuffled), WINDOW * batch):
        window = sorted(shuffled[start : start + WINDOW * batch], key=lambda i: lengths[i])
        whole = len(window) // batch
        for at in torch.randperm(whole, generator=draw).tolist():
            order += window[at * batch : (at + 1) * batch]
        order += window[whole * batch :]
    return order


def _newest(checkpoints: Path) -> str | None:
    """The latest whole checkpoint; what a kill left half-written is removed."""
    found = {int(path.name.removeprefix("checkpoint-")): path for path in checkpoints.glob("checkpoint-*")}
    for step, path in list(found.items()):
        if not (path / COMPLETE).exists():
            shutil.rmtree(path)
            del found[step]
    return str(found[max(found)]) if found else None


def _curve(history: list[dict[str, float]], epochs: int, steps: int) -> pd.DataFrame:
    val = {row["step"]: row["eval_loss"] for row in history if "eval_loss" in row}
    rows = [
        {
            "step": row["step"],
            "epoch": row["step"] / steps * epochs,
            "train_loss": row["loss"],
            "lr": row["learning_rate"],
            "val_loss": val.get(row["step"], math.nan),
        }
        for row in history
        if "loss" in row
    ]
    return pd.DataFrame(rows)
