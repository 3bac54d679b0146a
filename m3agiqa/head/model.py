"""Heads: from the MLLM's hidden states (B, T, D) and a mask (B, T) to one predicted MOS an image.

Linear, a stack that reads the sequence, mean over the valid tokens, and a small regressor. `xlstm` is the paper's
stack; the others of m3agiqa/head/stacks.py take its place and leave everything else as it is, so that heads compare
like for like. A few hundred images do not feed such a stack, so what can be known beforehand is not left to it:
- tokens, image statistics and MOS are standardised with the training images' statistics, which are part of the head;
- the mean of an image's states and their deviation (statistics pooling, Snyder et al. 2018, X-vectors), over all tokens
  and over those of the description, also reach the regressor, by a residual connection around the stack;
- in training the stack sees a random half of the tokens (finetune/heads/examples.py), and the residual connection a
  random part of the features.

Every stack is causal and the mean goes by the mask: what stands behind the last token of a right-padded sequence
changes nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from m3agiqa.errors import InputError
from m3agiqa.files import atomic, write_json
from m3agiqa.head.stacks import STACKS
from m3agiqa.json_text import parse_json
from m3agiqa.weights import check_tensors

STANDARDISED = ("states", "mos")  # what can be


class Head(nn.Module):
    """Standardise, project to (B, T, dim), read, average, regress. It starts at the mean MOS.

    Without `shortcut` no statistic goes past the stack; what is not among `standardise` is taken as it is (of `mos`:
    then it starts at 0). `settings` are those of the kind's stack in m3agiqa/head/stacks.py.
    """

    recipe: dict[str, Any]  # what build_head was called with, for the file
    token_mean: Tensor  # (D,)
    token_scale: Tensor  # (D,)
    image_mean: Tensor  # (4 D,)
    image_scale: Tensor  # (4 D,)
    mos_mean: Tensor  # ()
    mos_scale: Tensor  # ()

    def __init__(
        self,
        kind: str,
        input_dim: int,
        *,
        dim: int = 64,
        dropout: float = 0.1,
        hidden: int = 128,
        shortcut: bool = True,
        shortcut_dropout: float = 0.5,
        standardise: Sequence[str] = STANDARDISED,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.standardise = frozenset(standardise)
        self.register_buffer("token_mean", torch.zeros(input_dim))
        self.register_buffer("token_scale", torch.ones(input_dim))
        self.register_buffer("image_mean", torch.zeros(4 * input_dim))
        self.register_buffer("image_scale", torch.ones(4 * input_dim))
        self.register_buffer("mos_mean", torch.zeros(()))
        self.register_buffer("mos_scale", torch.ones(()))
        self.shortcut = nn.Sequential(nn.Dropout(shortcut_dropout), nn.Linear(4 * input_dim, dim)) if shortcut else None
        first, last = nn.Linear(dim, hidden), nn.Linear(hidden, 1)
        self.regressor = nn.Sequential(first, nn.ReLU(), nn.Dropout(dropout), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.project = nn.Linear(input_dim, dim)
        self.stack = STACKS[kind](dim, dropout=dropout, **settings)

    def forward(self, states: Tensor, mask: Tensor, description: Tensor) -> Tensor:
        """(B, T, D) and two masks (B, T), of all tokens and of the description's -> (B,) on the MOS scale."""
        return self.score(states, mask, statistics(states.float(), mask, description))

    def score(self, states: Tensor, mask: Tensor, moments: Tensor) -> Tensor:
        """The same of images whose statistics (B, 4 D) are known: their tokens (B, T, D) need not all be there."""
        pooled = self.pool(states, mask)  # (B, dim)
        if self.shortcut is not None:
            pooled = pooled + self.shortcut((moments - self.image_mean) * self.image_scale)
        score: Tensor = self.regressor(pooled).squeeze(-1)  # (B,)
        return score * self.mos_scale + self.mos_mean

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, dim): the mean of what the stack makes of the tokens."""
        x = (states.float() - self.token_mean) * self.token_scale  # (B, T, D)
        return masked_mean(self.stack(self.project(x)), mask)


def build_head(kind: str, input_dim: int, *, seed: int, **settings: Any) -> Head:
    """A new head of `kind`, its first weights drawn from `seed`. `settings` are its keyword arguments and its stack's.

    Raises:
        InputError: an unknown kind, or settings that do not fit together.
    """
    if kind not in STACKS:
        raise InputError(f"heads: unknown kind {kind!r}; known are {', '.join(STACKS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            head = Head(kind, input_dim, **settings)
        except TypeError as error:
            raise InputError(f"heads: {kind} takes other settings ({error})") from error
    head.recipe = {"kind": kind, "input_dim": input_dim, "seed": seed, **settings}
    return head


def save_head(head: Head, folder: Path | str) -> None:
    """Write head.safetensors and head.json into `folder`, each atomically."""
    folder = Path(folder)
    with atomic(folder / "head.safetensors") as temporary:
        save_file({name: value.contiguous().cpu() for name, value in head.state_dict().items()}, temporary)
    write_json(folder / "head.json", head.recipe)


def load_head(folder: Path | str) -> Head:
    """The head that `save_head` wrote, ready to predict.

    Raises:
        InputError: no head, or a weight that is missing, left over, of another shape or not finite.
    """
    path = Path(folder) / "head.json"
    if not path.exists():
        raise InputError(f"{path}: no head here; run the train stage")
    weights = path.with_name("head.safetensors")
    try:
        head = build_head(**parse_json(path.read_bytes()))
        head.load_state_dict(load_file(weights))
    except (OSError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{folder}: no whole head: {' '.join(str(error).split())[:400]}") from None
    check_tensors(head.state_dict().items(), str(weights))
    return head.eval()


def statistics(x: Tensor, *masks: Tensor) -> Tensor:
    """(B, T, D), M masks (B, T) -> (B, 2 M D): mean and standard deviation over the tokens of each mask."""
    moments = []
    for mask in masks:
        mean = masked_mean(x, mask)  # (B, D)
        spread = masked_mean((x - mean[:, None]).square(), mask)
        moments += [mean, (spread + 1e-6).sqrt()]
    return torch.cat(moments, dim=1)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """(B, T, D), (B, T) -> (B, D): the mean over the tokens that are there."""
    weights = mask.to(x.dtype) / mask.sum(dim=1, keepdim=True)  # (B, T)
    return torch.einsum("btd,bt->bd", x, weights)
