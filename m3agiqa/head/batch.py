"""The hidden states of some images as one tensor, which is what a head takes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from m3agiqa.spans import Span


class Row(NamedTuple):
    """One image's hidden states."""

    image_id: str
    states: Tensor  # (T, D)
    description: Span  # where in T it stands


class HeadInputs(NamedTuple):
    """What a head takes."""

    states: Tensor  # (B, T, D)
    mask: Tensor  # (B, T)
    description: Tensor  # (B, T)


class Batch(NamedTuple):
    """Right-padded states of some images, zeros behind the last token."""

    image_ids: tuple[str, ...]
    states: Tensor  # (B, T, D), the dtype of the store
    mask: Tensor  # (B, T), True at real tokens
    description: Tensor  # (B, T), True at the description's tokens

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Self:
        ids, matrices, spans = zip(*rows, strict=True)
        batch = cls.to_fill(ids, [len(matrix) for matrix in matrices], spans, matrices[0].shape[1], matrices[0].dtype)
        for row, matrix in zip(batch.states, matrices, strict=True):
            fill(row, matrix)
        return batch

    @classmethod
    def to_fill(
        cls,
        ids: Sequence[str],
        lengths: Sequence[int],
        spans: Sequence[Span],
        dim: int,
        dtype: torch.dtype,
        *,
        pin: bool = False,
    ) -> Self:
        """A batch whose `states` are yet to be filled, row by row. With `pin`, a GPU fetches it without a wait."""
        states = torch.empty((len(ids), max(lengths), dim), dtype=dtype, pin_memory=pin)  # (B, T, D)
        at = torch.arange(states.shape[1])  # (T,)
        start, end = torch.tensor(spans).T[..., None]  # (B, 1) each
        masks = (at < torch.tensor(lengths)[:, None], (start <= at) & (at < end))
        return cls(tuple(ids), states, *(mask.pin_memory() if pin else mask for mask in masks))

    @property
    def tensors(self) -> HeadInputs:
        """What a head takes."""
        return HeadInputs(self.states, self.mask, self.description)

    def to(self, device: str | torch.device) -> "Batch":
        return Batch(self.image_ids, *(tensor.to(device, non_blocking=True) for tensor in self.tensors))


def fill(row: Tensor, matrix: Tensor) -> None:
    """(T, D), zeros behind the (t, D) that it gets.

    By numpy, in this thread alone: many fill at the same time, and each of torch's copies would want all cores.
    """
    target, source = row.view(torch.uint8).numpy(), matrix.view(torch.uint8).numpy()
    target[: len(source)] = source
    target[len(source) :] = 0
