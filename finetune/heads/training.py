"""Training a head on cached hidden states.

Few images, long sequences: the danger is not that the head learns too little but that it learns the images by heart.
So what is kept is a running average of the weights, which is steadier than the weights of any one step, and the epoch
is selected by its loss on the validation images. The published code selects by SRCC + PLCC, on the test images; on 70
validation images a squared error is steadier than a rank correlation. Under a loss that is blind to the scale of the
scores (finetune/heads/losses.py) the selected head gets the line that takes its scores nearest to the validation MOS.

Every random draw of an epoch (order, tokens, dropout) is a function of (seed, epoch), so an epoch needs nothing from
the one before but the weights and the optimiser's state. Those are in the checkpoint, one file, replaced after each
epoch: a run that continues from it ends in the same bytes.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from data.feature_store.shuffle import Shuffle
from data.feature_store.store import FeatureStore
from evaluation.metrics import plcc, srcc
from finetune.heads import losses
from finetune.heads.examples import Examples, Step
from finetune.heads.standardise import standardise
from m3agiqa.errors import InputError
from m3agiqa.files import atomic, fingerprint
from m3agiqa.head.model import Head
from m3agiqa.progress import Progress, silent
from pipeline.profiles import Train

HISTORY = ["epoch", "train_loss", "val_loss", "val_srcc", "val_plcc"]
SCORED = 32  # validation images at once


class TrainedHead(NamedTuple):
    """What training leaves."""

    weights: dict[str, Tensor]  # of the selected epoch, on the CPU
    history: pd.DataFrame  # one row an epoch, columns HISTORY


def train_head(
    head: Head,
    store: FeatureStore,
    train: pd.DataFrame,
    val: pd.DataFrame,
    settings: Train,
    *,
    device: str = "cpu",
    checkpoints: Path | None = None,
    progress: Progress = silent,
) -> TrainedHead:
    """Train `head`, in place, on tables of (image_id, mos).

    The loss is the weighted sum of finetune/heads/losses.py, in units of the training MOS's spread, if the head
    standardises it: predicting its mean has a squared error of 1.
    `checkpoints` is a folder that survives a kill; a checkpoint of other settings, images or states is not used.

    Raises:
        InputError: too few images to train or to select on; a loss that is no number any more.
    """
    if len(train) < 2 or len(val) < 1:
        raise InputError(f"a head needs at least 2 training images and 1 to select on, not {len(train)} and {len(val)}")
    scores, targets = _mos(train), _mos(val)
    learnt, held_out = (Examples(store, mos, device) for mos in (scores, targets))
    standardise(head.to(device), learnt)
    epochs, batch = settings.epochs, settings.batch
    run = _Run(head, settings, steps=epochs * -(-len(scores) // batch))
    shaped_by = [head.recipe, settings.model_dump(), store.fingerprint]
    identity = fingerprint([shaped_by, list(scores.items()), list(targets.items())])
    path = None if checkpoints is None else Path(checkpoints) / "head.safetensors"
    if path is not None:
        run.load(path, identity)

    for epoch in progress(range(1, epochs + 1), total=epochs, desc="train head", unit="epoch"):
        if epoch <= len(run.history):
            continue
        torch.manual_seed(int(fingerprint([settings.seed, epoch])[:15], 16))
        head.train()
        shuffle = Shuffle(settings.seed, epoch, settings.length_window)
        steps = learnt.batches(batch, shuffle, share=settings.token_dropout)
        errors = torch.stack([run.step(step) * len(step.mos) for step in steps])  # the device is not waited for before
        run.record(epoch, sum(errors.tolist()) / len(scores), held_out)
        if path is not None:
            run.save(path, identity)
    return TrainedHead(run.best, pd.DataFrame(run.history, columns=HISTORY))


def _mos(table: pd.DataFrame) -> dict[str, float]:
    """By image_id."""
    return dict(zip(table["image_id"], table["mos"].astype(float).tolist(), strict=True))


class _Run:
    """The head in training, its running average, its optimiser, and the best epoch so far."""

    def __init__(self, head: Head, settings: Train, steps: int) -> None:
        self.head, self.average, self.loss = head, deepcopy(head).eval(), settings.loss.model_dump()
        matrices = [weight for weight in head.parameters() if weight.dim() > 1]
        others = [weight for weight in head.parameters() if weight.dim() <= 1]
        groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=settings.lr, fused=True)
        self.settings, self.steps, self.done = settings, steps, 0
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self.best_loss = np.inf

    def step(self, images: Step) -> Tensor:
        """One step of the optimiser, and of the running average; the loss () before it, on the device."""
        settings, warming = self.settings, self.settings.warmup * self.steps
        warm = min(1.0, (self.done + 1) / warming) if warming else 1.0
        for group in self.optimiser.param_groups:
            group["lr"] = settings.lr * warm * (0.5 + 0.5 * np.cos(np.pi * self.done / self.steps))
        predicted = self.head.score(images.states, images.mask, images.moments)
        error = losses.loss(self.loss, predicted, images.mos, self.head.mos_scale)
        self.optimiser.zero_grad()
        error.backward()
        if settings.max_norm is not None:
            clip_grad_norm_(self.head.parameters(), settings.max_norm)
        self.optimiser.step()
        self.done += 1
        follow = 1 - min(settings.average, self.done / (self.done + 10))  # the first steps are not worth remembering
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.head.parameters()), follow)
        return error.detach()

    def record(self, epoch: int, train_loss: float, examples: Examples) -> None:
        """Score the running average on the validation images, add a row to the history, keep the best."""
        if not np.isfinite(train_loss):
            raise _diverged(f"train loss {train_loss} in epoch {epoch}")
        mos, scored = examples.mos, self.scored(examples)
        val_loss = losses.value(self.loss, scored, mos, self.head.mos_scale)
        if not np.isfinite(val_loss):
            raise _diverged(f"val loss {val_loss} after epoch {epoch}")
        predicted, targets = scored.cpu().double().numpy(), mos.cpu().double().numpy()
        rank, linear = srcc(predicted, targets), plcc(predicted, targets)
        figures = [epoch, train_loss, val_loss, *(np.nan if value is None else value for value in (rank, linear))]
        self.history.append(dict(zip(HISTORY, figures, strict=True)))
        if val_loss < self.best_loss:
            self.best = {name: value.detach().cpu().clone() for name, value in self.average.state_dict().items()}
            if not losses.on_the_mos_scale(self.loss):
                slope, start = line_to(predicted, targets)
                self.best["mos_scale"] *= slope
                self.best["mos_mean"] = self.best["mos_mean"] * slope + start
            self.best_loss = val_loss

    @torch.no_grad()
    def scored(self, examples: Examples) -> Tensor:
        """(N,): what the running average makes of each."""
        found = torch.empty_like(examples.mos)
        for step in examples.batches(SCORED):
            found[step.rows] = self.average.score(step.states, step.mask, step.moments)
        return found

    def save(self, path: Path, identity: str) -> None:
        tensors = {f"best.{name}": value for name, value in self.best.items()}
        for prefix, module in (("head", self.head), ("average", self.average)):
            tensors |= {f"{prefix}.{name}": value.detach().cpu() for name, value in module.state_dict().items()}
        for name, weight in self.head.named_parameters():
            state = self.optimiser.state[weight]
            tensors |= {f"{moment}.{name}": state[moment].cpu() for moment in ("exp_avg", "exp_avg_sq")}
        facts = {"identity": identity, "done": self.done, "history": self.history, "best_loss": self.best_loss}
        tensors = {name: value.contiguous() for name, value in tensors.items()}
        with atomic(path) as temporary:
            save_file(tensors, temporary, {"json": json.dumps(facts)})

    def load(self, path: Path, identity: str) -> None:
        """Continue from the checkpoint at `path`, if it is there and of the same run."""
        if not path.exists():
            return
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()["json"])
            if facts["identity"] != identity:
                return
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        for prefix, module in (("head", self.head), ("average", self.average)):
            module.load_state_dict({name: tensors[f"{prefix}.{name}"] for name in module.state_dict()})
        self.best = {name: tensors[f"best.{name}"] for name in self.head.state_dict()}
        for name, weight in self.head.named_parameters():
            moments = {moment: tensors[f"{moment}.{name}"].to(weight.device) for moment in ("exp_avg", "exp_avg_sq")}
            self.optimiser.state[weight] = {"step": torch.tensor(float(facts["done"]), device=weight.device), **moments}
        self.done, self.history, self.best_loss = facts["done"], facts["history"], facts["best_loss"]


def _diverged(what: str) -> InputError:
    return InputError(f"the head diverged: {what}; lower train.lr")


class Line(NamedTuple):
    """What takes a prediction x to slope x + start."""

    slope: float
    start: float


def line_to(predicted: np.ndarray, mos: np.ndarray) -> Line:
    """(N,), (N,) -> the least-squares line; no line that falls, or through equal predictions."""
    spread = predicted.var()
    slope = np.mean((predicted - predicted.mean()) * (mos - mos.mean())) / spread if spread > 0 else 0.0
    return Line(float(slope), float(mos.mean() - slope * predicted.mean())) if slope > 0 else Line(1.0, 0.0)
