"""Many pictures in one tensor: one number of each as a column, and which of them share a trait."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

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


class Alike(NamedTuple):
    """Pictures that share a value."""

    value: str
    pictures: Tensor  # (n), their numbers


def by_value(layouts: Sequence[Layout], key: Callable[[Layout], str], device: torch.device) -> list[Alike]:
    """The pictures of each value of `key`."""
    values = [key(layout) for layout in layouts]
    return [Alike(value, torch.tensor([i for i, v in enumerate(values) if v == value], device=device))
            for value in dict.fromkeys(values)]  # fmt: skip
