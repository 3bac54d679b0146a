"""transformers' Trainer, on each process's share of given batches.

A share comes in several sets of tensors where memory holds few images at once (`micro_batch`), and because images are
taken in different numbers of views (finetune/distill/examples.py). Each is a forward and a backward pass. Their
gradients add up before the step is made: it is the step of the whole batch. No code of ours waits for a GPU in a step,
so that the next one is prepared while it works.
"""

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import torch
from accelerate.utils import gather_object
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer

from finetune.distill.rating import Rated, rating
from m3agiqa.mllm import adapters, gpu

Tensors = dict[str, Tensor]
LEARNED = ("labels", "logits_at", "word_at", "word_tokens", "word_weights", "mos")  # what is no input of the model
Collate = Callable[[list[Any]], list[Tensors]]


class Examples(Protocol):
    """What is learned from: anything that `Collate` makes tensors of."""

    def __getitem__(self, index: int, /) -> Any: ...

    def __len__(self) -> int: ...

    def shown(self, index: int, place: int, /) -> Any:
        """The example as it is learned from at its `place` in the order of the run."""


class _Row(NamedTuple):
    number: int
    place: int | None  # in the order of the run; None in val, which is always shown as it is
    learned: bool  # False where the row is only there because a process needs one


class _Example(NamedTuple):
    example: Any
    learned: bool


@dataclass(frozen=True)
class _Share:
    """`collate`, of at most `together` rows at a time, which may teach nothing."""

    collate: Collate
    together: int

    def __call__(self, rows: list[_Example]) -> list[Tensors]:
        examples = [row.example for row in rows]
        few = [examples[at : at + self.together] for at in range(0, len(examples), self.together)]
        batches = [tensors for some in few for tensors in self.collate(some)]
        if not rows[0].learned:
            return [
                {
                    **tensors,
                    "labels": torch.full_like(tensors["labels"], -100),
                    "word_weights": torch.zeros_like(tensors["word_weights"]),
                }
                for tensors in batches
            ]
        return batches


def _in_a_worker(_number: int) -> None:
    """Tokenise in one thread: with TOKENIZERS_PARALLELISM=true, a forked process would wait for threads for ever."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


class ShareTrainer(Trainer):
    """Trainer on shares of given batches, with logits only where something is learned, that saves the adapter alone."""

    def __init__(
        self,
        *,
        collate: Collate,
        train_dataset: Examples,
        eval_dataset: Examples,
        batches: list[list[int]],
        micro_batch: int,
        **options: Any,
    ) -> None:
        datasets: dict[str, Any] = {"train_dataset": train_dataset, "eval_dataset": eval_dataset}
        super().__init__(**datasets, **options)
        options["model"].train()  # not in every step, where it would take as long as a few layers
        self.share, self.learned_from, self.batches = _Share(collate, micro_batch), train_dataset, batches
        size, rows = self.args.per_device_eval_batch_size, range(len(eval_dataset))
        self.val_batches = [list(rows[at : at + size]) for at in range(0, len(rows), size)]
        self.val_shares = self._shares(eval_dataset, [[(row, None) for row in batch] for batch in self.val_batches])

    def get_train_dataloader(self) -> DataLoader[_Example]:
        """Each batch's share for this process."""
        places = count()
        return self._shares(self.learned_from, [[(row, next(places)) for row in batch] for batch in self.batches])

    def _shares(self, examples: Examples, batches: list[list[tuple[int, int | None]]]) -> DataLoader[_Example]:
        """Every n-th row of each batch; a process that gets none has the first row, of which it learns nothing."""
        first, step = self.args.process_index, self.args.world_size
        shares = [
            [_Row(*row, learned=True) for row in batch[first::step]] or [_Row(*batch[0], learned=False)]
            for batch in batches
        ]
        workers = self.args.dataloader_num_workers
        return DataLoader(
            _Rows(examples),
            batch_sampler=shares,
            collate_fn=self.share,
            num_workers=workers,
            worker_init_fn=_in_a_worker,
            persistent_workers=workers > 0,  # they are slow to start
            pin_memory=self.args.dataloader_pin_memory,
            generator=torch.Generator(),  # not the one that dropout draws from: workers would shift it
        )

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: Any,
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002  nothing is accumulated over batches
    ) -> Tensor:
        """Add up the gradients of a share; returns its loss.

        The loss is the mean cross-entropy of the learned tokens and rating words of the whole batch, a word counting
        for `word_weight` tokens. Of that this process has a share: the mean over the processes is that mean, and so is
        that of the gradients.
        """
        share = self._there(inputs)
        tokens, losses = self._mean_weight(share), []
        for left, tensors in enumerate(share, start=1 - len(share)):
            with nullcontext() if left == 0 else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss = _taught(model, tensors).loss / tokens
                self.accelerator.backward(loss)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    @torch.no_grad()
    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The val loss, which is the mean over the examples of their batch's loss, and how well they are rated."""
        model = cast("PeftModel", self.model)
        model.eval()
        losses, words, mos = [], [], []
        for batch, inputs in zip(self.val_batches, self.val_shares, strict=True):
            share = self._there(inputs)
            tokens = self._mean_weight(share)
            taught = [_taught(model, tensors) for tensors in share]
            loss = torch.stack([part.loss / tokens for part in taught]).sum()
            losses.append(self.accelerator.reduce(loss, "mean").repeat(len(batch)))
            for part, tensors in zip(taught, share, strict=True):
                there = tensors["word_weights"].any(dim=1)
                words.append(part.words[there])
                mos.append(tensors["mos"][there])
        own = Rated(torch.cat(words).cpu(), torch.cat(mos).cpu())
        everyones = gather_object([own]) if self.args.world_size > 1 else [own]
        rated = rating(Rated(*(torch.cat(parts) for parts in zip(*everyones, strict=True))))
        scores = {"eval_loss": float(torch.cat(losses).mean())}
        scores |= {f"eval_{name}": value for name, value in rated._asdict().items()}
        model.train()
        self.log(scores)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores

    def _there(self, share: list[Tensors]) -> list[Tensors]:
        """What _Share made, on the model's device; Trainer's own way waits for all that a GPU was given before."""
        return [gpu.on_device(tensors, self.args.device) for tensors in share]

    def _mean_weight(self, share: list[Tensors]) -> Tensor:
        """Over how many tokens the loss of the whole batch is a mean, divided by the processes."""
        tokens: Tensor = self.accelerator.reduce(torch.stack([_weight(tensors) for tensors in share]).sum(), "mean")
        return tokens

    def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002
        """Nobody asks, and Trainer could not count them in several sets of tensors."""
        return 0

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:  # noqa: ARG002
        if self.args.should_save and output_dir is not None:  # Trainer always names it
            adapters.save(cast("PeftModel", self.model), Path(output_dir))


def _weight(tensors: Tensors) -> Tensor:
    """Over how many tokens the loss of these is a mean."""
    return (tensors["labels"][:, 1:] != -100).sum() + tensors["word_weights"].sum()


class _Taught(NamedTuple):
    """What a model makes of some examples."""

    loss: Tensor  # (): the cross-entropy of the learned tokens and words, added up
    words: Tensor  # (B, words): log-probabilities of the rating words


def _taught(model: torch.nn.Module, tensors: Tensors) -> _Taught:
    """Logits are worked out only where something is learned."""
    given = {name: tensor for name, tensor in tensors.items() if name not in LEARNED}
    inputs = gpu.without_mask(given, tensors["labels"].device)
    following, before_word = tensors["labels"][:, 1:], tensors["word_at"] - 1  # (B, T-1): the token after each; (B,)
    learned = tensors["logits_at"]  # (K,)
    logits = model(**inputs, logits_to_keep=learned, use_cache=False).logits  # (B, K, V)
    if logits.shape[1] != len(learned):  # (B, T, V): a model that does not know logits_to_keep
        logits = logits[:, learned]
    logits = logits.float()
    text = cross_entropy(logits.flatten(0, 1), following[:, learned].flatten(), reduction="sum")
    rows, at = torch.arange(len(logits), device=logits.device), torch.searchsorted(learned, before_word)
    words = log_softmax(logits[rows, at], dim=1).gather(1, tensors["word_tokens"])  # (B, words)
    return _Taught(text - (tensors["word_weights"] * words).sum(), words)


class _Rows(Dataset[_Example]):
    """Examples, each with what is said of its row."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __getitem__(self, row: _Row) -> _Example:
        example = self.examples[row.number] if row.place is None else self.examples.shown(row.number, row.place)
        return _Example(example, row.learned)

    def __len__(self) -> int:
        return len(self.examples)
