"""LoRA distillation: the local MLLM learns to say what the teacher says.

transformers' Trainer does the work, and its checkpoints hold weights, optimizer, schedule and random state. Four
things around it make a run a function of its inputs, killed or not, in one process or in many:

- The order of all epochs is one list, drawn from the seed before anything starts. To resume is to skip its head.
- A checkpoint counts once its marker file is there, which is written last.
- Each process takes its share of every batch, and a loss is the mean over the tokens of the whole batch. Processes add
  the same numbers in another order: float32 losses agree within 1e-5. (Dropout draws in each process anew.)
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
from accelerate import PartialState
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from data.ahead import DECODERS
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
    activation_checkpointing: bool = False,
    checkpoints: Path,
    out: Path,
    progress: Callable[..., Iterable[Any]] = lambda iterable, **_: iterable,
) -> pd.DataFrame:
    """Train what is trainable in `model` and write the best epoch's adapter to the folder `out`.

    `collate` makes a list of examples into tensors with labels (-100: not learned). `lengths` are the train examples'
    lengths in any unit: batches hold examples of similar length, so that little of them is padding. `warmup` is a
    share of the steps; the learning rate then falls along a cosine to 0. `activation_checkpointing` keeps no block's
    inner activations for the backward pass and computes them twice: less memory, more time, the same weights.

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
        activation_checkpointing=activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        bf16=model.dtype == torch.bfloat16,
        use_cpu=device.type == "cpu",
        prediction_loss_only=True,
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_num_workers=DECODERS if device.type == "cuda" else 0,
        dataloader_pin_memory=device.type == "cuda",
        disable_tqdm=True,
        report_to="none",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # noqa: SLF001  Trainer would split each batch over all GPUs it sees
    keeper = _Keeper(checkpoints, {math.ceil(steps * (epoch + 1) / epochs) for epoch in range(epochs)}, progress)
    trainer = _Trainer(
        model=model,
        args=arguments,
        data_collator=collate,
        train_dataset=train,
        eval_dataset=val,
        callbacks=[keeper],
        batches=[order[at : at + batch] for at in range(0, len(order), batch)],
    )
    trainer.remove_callback(PrinterCallback)
    process = PartialState()
    with process.main_process_first():  # which removes what a kill left half-written
        newest = _newest(checkpoints)
    trainer.train(resume_from_checkpoint=newest)
    if process.is_main_process:
        save_adapter(model, out, weights=checkpoints / WEIGHTS)
    process.wait_for_everyone()
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
    """Trainer on shares of given batches, with logits only where something is learned, that saves the adapter alone."""

    def __init__(self, *, data_collator: Collate, batches: list[list[int]], **options: Any) -> None:
        super().__init__(data_collator=data_collator, **options)
        self.batches = batches

    def get_train_dataloader(self) -> DataLoader:
        """Each batch's share for this process."""
        return self._shares(self.train_dataset, self.batches)

    def _shares(self, examples: Dataset, batches: list[list[int]]) -> DataLoader:
        """Every n-th row of each batch; a process that gets none has the first row, of which it learns nothing."""
        first, step = self.args.process_index, self.args.world_size
        shares = [[(row, True) for row in batch[first::step]] or [(batch[0], False)] for batch in batches]
        collate = self.data_collator

        def share(rows: list[tuple[Any, bool]]) -> dict[str, Tensor]:
            tensors = collate([example for example, _ in rows])
            if not rows[0][1]:
                tensors["labels"] = torch.full_like(tensors["labels"], -100)
            return tensors

        return DataLoader(
            _Rows(examples),
            batch_sampler=shares,
            collate_fn=share,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002  nothing is accumulated over batches
    ) -> Any:
        """Mean cross-entropy of the learned tokens of the whole batch, of which this process has a share.

        The mean over the processes is that mean; so is that of the gradients.
        """
        following = inputs.pop("labels")[:, 1:]  # (B, T-1): the token after each
        learned = (following != -100).any(dim=0).nonzero().flatten()  # (K,)
        outputs = model(**inputs, logits_to_keep=learned, use_cache=False)
        logits = outputs.logits  # (B, K, V), or (B, T, V) where a model does not know logits_to_keep
        if logits.shape[1] != len(learned):
            logits = logits[:, learned]
        targets = following[:, learned].flatten()  # (B K)
        total = cross_entropy(logits.float().flatten(0, 1), targets, reduction="sum")
        tokens = self.accelerator.reduce((targets != -100).sum().float(), "mean")
        loss = total / tokens
        return (loss, outputs) if return_outputs else loss

    @torch.no_grad()
    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The val loss: the mean over the examples of their batch's loss."""
        size = self.args.per_device_eval_batch_size
        rows = range(len(self.eval_dataset))
        batches = [list(rows[at : at + size]) for at in range(0, len(rows), size)]
        self.model.eval()
        losses = []
        for batch, share in zip(batches, self._shares(self.eval_dataset, batches), strict=True):
            loss = self.compute_loss(self.model, self._prepare_inputs(share))
            losses.append(self.accelerator.reduce(loss, "mean").repeat(len(batch)))
        scores = {"eval_loss": float(torch.cat(losses).mean())}
        self.log(scores)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:  # noqa: ARG002
        if self.args.should_save:
            save_adapter(self.model, Path(output_dir))


class _Rows(Dataset):
    """Examples, each with what is said of its row."""

    def __init__(self, examples: Dataset) -> None:
        self.examples = examples

    def __getitem__(self, row: tuple[int, bool]) -> tuple[Any, bool]:
        return self.examples[row[0]], row[1]

    def __len__(self) -> int:
        return len(self.examples)


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
        if loss < min(earlier, default=math.inf) and state.is_world_process_zero:
            save_adapter(model, self.checkpoints)

    def on_save(self, _: TrainingArguments, state: TrainerState, *__: Any, **___: Any) -> None:
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
