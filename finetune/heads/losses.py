"""What a head minimises: a weighted sum of four losses, predictions p and MOS y of one batch in units of y's spread.

| name | loss | source |
|---|---|---|
| mse | mean of (p - y)² | |
| huber | mean of ½(p - y)² where nearer than 1, else of abs(p - y) - ½: no label pulls harder | Huber 1964 |
| plcc | (1 - r) / 2, r Pearson's correlation of p and y | Li et al. 2020, Norm-in-Norm, arXiv 2008.03889 |
| rank | mean of log(1 + exp(p_j - p_i)) over the pairs with y_i > y_j | Burges et al. 2005, RankNet |

`plcc` and `rank` say nothing about where the scores lie, `plcc` nothing about their spread: where none of the others
has a weight, a head needs a line from its scores to MOS (`train_head` draws it on the validation images). A batch in
which a loss has no value (one image, one MOS) has no gradient for it.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor
from torch.nn.functional import huber_loss, mse_loss, softplus

from finetune.heads.pairs import rank_loss

SPREAD = 1e-6  # added to variances: a head starts with equal predictions, where the correlation has no slope


def loss(weights: Mapping[str, float], predicted: Tensor, mos: Tensor, scale: Tensor) -> Tensor:
    """(B,), (B,) and the MOS's spread () -> (), the weighted sum; names without a weight are not worked out."""
    parts = [weight * LOSSES[name](predicted, mos, scale) for name, weight in weights.items() if weight]
    return cast("Tensor", sum(parts))  # of one part at least: the settings see to it


def value(weights: Mapping[str, float], predicted: Tensor, mos: Tensor, scale: Tensor) -> float:
    """The same without a slope, of any number of images: time and memory grow with them, not with their pairs."""
    rank, others = weights.get("rank"), {name: weight for name, weight in weights.items() if name != "rank"}
    total = loss(others, predicted, mos, scale).item() if any(others.values()) else 0.0
    if rank:
        total += rank * rank_loss(*((values / scale).double().cpu().numpy() for values in (predicted, mos)))
    return total


def on_the_mos_scale(weights: Mapping[str, float]) -> bool:
    """Whether the loss asks for MOS, not only for their order or their pattern."""
    return bool(weights.get("mse") or weights.get("huber"))


def _mse(predicted: Tensor, mos: Tensor, scale: Tensor) -> Tensor:
    return mse_loss(predicted, mos) / scale**2


def _huber(predicted: Tensor, mos: Tensor, scale: Tensor) -> Tensor:
    return huber_loss(predicted / scale, mos / scale)


def _plcc(predicted: Tensor, mos: Tensor, scale: Tensor) -> Tensor:
    p, y = ((values - values.mean()) / scale for values in (predicted, mos))  # (B,)
    spread = ((p.square().mean() + SPREAD) * (y.square().mean() + SPREAD)).sqrt()
    return (1 - (p * y).mean() / spread) / 2


def _rank(predicted: Tensor, mos: Tensor, scale: Tensor) -> Tensor:
    higher = mos[:, None] > mos  # (B, B), of i over j
    behind = (predicted - predicted[:, None]) / scale  # (B, B), p_j - p_i
    return (softplus(behind) * higher).sum() / torch.clamp(higher.sum(), min=1)


LOSSES = {"mse": _mse, "huber": _huber, "plcc": _plcc, "rank": _rank}
