"""transformers' Trainer, on each process's share of given batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer

from m3agiqa.mllm import adapters

Collate = Callable[[list[Any]], dict[str, Tensor]]


class ShareTrainer(Trainer):
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
            adapters.save(self.model, Path(output_dir))


class _Rows(Dataset):
    """Examples, each with what is said of its row."""

    def __init__(self, examples: Dataset) -> None:
        self.examples = examples

    def __getitem__(self, row: tuple[int, bool]) -> tuple[Any, bool]:
        return self.examples[row[0]], row[1]

    def __len__(self) -> int:
        return len(self.examples)
