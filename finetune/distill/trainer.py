"""transformers' Trainer, on each process's share of given batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer

from m3agiqa.mllm import adapters

Collate = Callable[[list[Any]], dict[str, Tensor]]


class Examples(Protocol):
    """What is learned from: anything that `Collate` makes tensors of."""

    def __getitem__(self, index: int, /) -> Any: ...

    def __len__(self) -> int: ...


class _Row(NamedTuple):
    number: int
    learned: bool  # False where the row is only there because a process needs one


class _Example(NamedTuple):
    example: Any
    learned: bool


class ShareTrainer(Trainer):
    """Trainer on shares of given batches, with logits only where something is learned, that saves the adapter alone."""

    def __init__(
        self,
        *,
        data_collator: Collate,
        train_dataset: Examples,
        eval_dataset: Examples,
        batches: list[list[int]],
        **options: Any,
    ) -> None:
        datasets: dict[str, Any] = {"train_dataset": train_dataset, "eval_dataset": eval_dataset}
        super().__init__(data_collator=data_collator, **datasets, **options)
        self.learned_from, self.scored_on, self.batches = train_dataset, eval_dataset, batches

    def get_train_dataloader(self) -> DataLoader[_Example]:
        """Each batch's share for this process."""
        return self._shares(self.learned_from, self.batches)

    def _shares(self, examples: Examples, batches: list[list[int]]) -> DataLoader[_Example]:
        """Every n-th row of each batch; a process that gets none has the first row, of which it learns nothing."""
        first, step = self.args.process_index, self.args.world_size
        shares = [
            [_Row(row, learned=True) for row in batch[first::step]] or [_Row(batch[0], learned=False)]
            for batch in batches
        ]
        collate = self.data_collator

        def share(rows: list[_Example]) -> dict[str, Tensor]:
            tensors: dict[str, Tensor] = collate([row.example for row in rows])
            if not rows[0].learned:
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
        rows = range(len(self.scored_on))
        batches = [list(rows[at : at + size]) for at in range(0, len(rows), size)]
        model = cast("PeftModel", self.model)
        model.eval()
        losses = []
        for batch, share in zip(batches, self._shares(self.scored_on, batches), strict=True):
            loss = self.compute_loss(model, self._prepare_inputs(share))
            losses.append(self.accelerator.reduce(loss, "mean").repeat(len(batch)))
        scores = {"eval_loss": float(torch.cat(losses).mean())}
        self.log(scores)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:  # noqa: ARG002
        if self.args.should_save and output_dir is not None:  # Trainer always names it
            adapters.save(cast("PeftModel", self.model), Path(output_dir))


class _Rows(Dataset[_Example]):
    """Examples, each with what is said of its row."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __getitem__(self, row: _Row) -> _Example:
        return _Example(self.examples[row.number], row.learned)

    def __len__(self) -> int:
        return len(self.examples)
