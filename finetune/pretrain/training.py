"""How the embedded models learn: one compiled step over rows of one image and one chat, all of one length.

Every chat begins with its image, so the image tokens always stand at the same place; padding is on the right and
attention is causal, so no mask is needed. Shapes never change, which is what a compiler and a GPU like best. What a
model looks with, and what its probe reads off, is its own (tiny/train.py, small/train.py).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DECAY, CLIP = 0.05, 1.0
EVERY, SAVED_EVERY = 20, 60  # steps between two rows of the curve; seconds between two checkpoints

Curve = list[dict[str, Any]]


@dataclass(frozen=True)
class Chats:
    """Training rows on the device: n images with k chats each."""

    images: Tensor  # (n, size, size, 3) uint8
    tokens: Tensor  # (n, k, length) int16, padded on the right
    answers: Tensor  # (n, k, length) bool: what an assistant says


class Losses(NamedTuple):
    """What a step brings down."""

    chat: Tensor  # (), the mean per answer token
    probe: Tensor  # ()


class Learner(NamedTuple):
    """Parameters that learn at one rate, a function of the part of the run that is done."""

    parameters: Sequence[nn.Parameter]
    rate: Callable[[float], float]


Forward = Callable[[Tensor, Tensor, Tensor], Losses]  # images, tokens, answers


def read(text: Any, seen: Tensor, tokens: Tensor, first: int) -> Tensor:
    """A Llama's last hidden states (B, T, D), the image tokens `seen` (B, I, D) in the place that begins at `first`."""
    words = text.embed_tokens(tokens)
    hidden = torch.cat([words[:, :first], seen.to(words.dtype), words[:, first + seen.shape[1] :]], 1)
    places = torch.arange(tokens.shape[1], device=tokens.device)[None]
    angles = text.rotary_emb(hidden, position_ids=places)
    for layer in text.layers:
        hidden = layer(hidden, attention_mask=None, position_ids=places, position_embeddings=angles)
    normed: Tensor = text.norm(hidden)
    return normed


def chat_loss(logits: Tensor, tokens: Tensor, answers: Tensor) -> Tensor:
    """(B, T - 1, V) of all but the last token, (B, T), (B, T) -> (): the mean over what an assistant says."""
    losses = F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    said = answers[:, 1:].flatten().float()
    return (losses * said).sum() / said.sum()


def compiled(trainee: nn.Module, batch: int, size: int, length: int) -> Forward:
    """The forward pass, compiled for one shape where that pays (on a GPU), before there is any data."""
    device = next(trainee.parameters()).device
    if device.type != "cuda":
        return trainee
    forward: Forward = torch.compile(trainee, dynamic=False)
    images = torch.zeros(batch, size, size, 3, dtype=torch.uint8, device=device)
    tokens = torch.zeros(batch, length, dtype=torch.long, device=device)
    with torch.autocast(device.type, torch.bfloat16):
        loss, probe = forward(images, tokens, torch.ones_like(tokens, dtype=torch.bool))
    (loss + probe).backward()
    trainee.zero_grad(set_to_none=True)
    return forward


def train(
    learners: Sequence[Learner],
    forward: Forward,
    chats: Chats,
    *,
    probe_weight: float,
    steps: int,
    batch: int,
    seed: int,
    seconds: float,
    checkpoint: Callable[[Curve], None],
) -> Curve:
    """Train in place and return the curve. After `seconds` the run is cut: the rates bend to end by then."""
    device = chats.images.device
    every = [parameter for learner in learners for parameter in learner.parameters]
    optimizer = torch.optim.AdamW(_groups(learners), lr=0.0, betas=(0.9, 0.95), fused=device.type == "cuda")
    dice = torch.Generator(device=device).manual_seed(seed)
    many, kinds = chats.tokens.shape[:2]
    order = torch.empty(0, dtype=torch.long, device=device)
    curve: Curve = []
    began = saved = time.monotonic()
    step, part = 0, 0.0
    while part < 1.0:
        while len(order) < batch:
            order = torch.cat([order, torch.randperm(many, generator=dice, device=device)])
        rows, order = order[:batch], order[batch:]
        chat = torch.randint(kinds, (batch,), generator=dice, device=device)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"](part)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):  # some CPUs take 60 x as long
            loss, probe = forward(chats.images[rows], chats.tokens[rows, chat].long(), chats.answers[rows, chat])
        (loss + probe_weight * probe).backward()
        norm = nn.utils.clip_grad_norm_(every, CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        # The clock is read where the device is read anyway: asking after each step would stall it.
        if step % EVERY == 0 or step in (1, steps):
            now = time.monotonic()
            figures = {"loss": loss.item(), "probe": probe.item(), "norm": norm.item()}
            curve.append({"step": step, "seconds": round(now - began, 2), "rate": learners[0].rate(part), **figures})
            print(" ".join(f"{key} {value:.5g}" for key, value in curve[-1].items()), flush=True)
            if now - saved > SAVED_EVERY:
                checkpoint(curve)
                saved = time.monotonic()
        part = max(step / steps, (time.monotonic() - began) / seconds)
    return curve


def _groups(learners: Sequence[Learner]) -> list[dict[str, Any]]:
    """For the optimiser: matrices decay, vectors do not."""
    found: list[dict[str, Any]] = []
    for parameters, rate in learners:
        matrices = [parameter for parameter in parameters if parameter.ndim > 1]
        vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
        found += [{"params": matrices, "weight_decay": DECAY, "rate": rate}]
        found += [{"params": vectors, "weight_decay": 0.0, "rate": rate}]
    return found
