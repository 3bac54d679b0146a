"""Many pictures in one tensor: one number of each as a column, and which of them share a trait."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from data.synthetic.exact import tensor
from data.synthetic.layouts import Layout


def column(values: Iterable[float], device: torch.device) -> Tensor:
    """One number a picture, as (B, 1, 1)."""
    return tensor(list(values), device)[:, None, None]


def seed_column(layouts: Sequence[Layout], device: torch.device) -> Tensor:
    """The pictures' seeds, integers (B, 1, 1)."""
    return torch.tensor([layout.seed for layout in layouts], device=device)[:, None, None]


def by_value(layouts: Sequence[Layout], key: Callable[[Layout], str], device: torch.device) -> list[tuple[str, Tensor]]:
    """The pictures of each value of `key`: their numbers."""
    values = [key(layout) for layout in layouts]
    return [(value, torch.tensor([i for i, v in enumerate(values) if v == value], device=device))
            for value in dict.fromkeys(values)]  # fmt: skip
