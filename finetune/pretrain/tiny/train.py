"""How `tiny` learns: one compiled step over rows of one image and one chat, all of one length.

Every chat begins with its image, so the image tokens always stand at the same place; padding is on the right and
attention is causal, so no mask is needed. Shapes never change, which is what a compiler and a GPU like best.

Beside the chat, a probe that is thrown away afterwards predicts from every image token what its 32 x 32 pixels
look like: a thumbnail, and how much fine, middle and coarse structure they hold. Captions alone would let the
vision tower forget whatever no caption names; so grain, edges and tints stay readable in the tokens. It is
measurement, not judgement: nothing says which of it is good.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import SmolVLMForConditionalGeneration

from finetune.pretrain.tiny.model import FIRST_IMAGE_TOKEN, IMAGE_SIZE, IMAGE_TOKENS, PATCH, SCALE

CELL = PATCH * SCALE
GRID = IMAGE_SIZE // CELL
THUMBNAIL = 8
MEASURES = 3 * THUMBNAIL**2 + 8 * SCALE**2
PROBE_WEIGHT = 0.5
PEAK_RATE, WARM_UP, DECAY, CLIP = 1.2e-3, 0.04, 0.05, 1.0


@dataclass(frozen=True)
class Chats:
    """Training rows on the device: n images with k chats each."""

    images: Tensor  # (n, size, size, 3) uint8
    tokens: Tensor  # (n, k, length) int16, padded on the right
    answers: Tensor  # (n, k, length) bool: what an assistant says


def to_pixels(images: Tensor) -> Tensor:
    """What the image processor makes of uint8 pictures of the right size: (b, 3, size, size) in -1..1."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def appearance(pixels: Tensor) -> Tensor:
    """What each image token's cell looks like: (b, cells, MEASURES)."""
    grey = pixels.mean(1, keepdim=True)
    tint = pixels[:, :1] - pixels[:, 2:]
    fine, middle, coarse = (_smooth(grey, width) for width in (3, 7, 15))
    across = F.pad(grey.diff(dim=3), (0, 1)).square()
    down = F.pad(grey.diff(dim=2), (0, 0, 0, 1)).square()
    bands = [(grey - fine).square(), (fine - middle).square(), (middle - coarse).square()]
    bands += [(tint - _smooth(tint, 3)).square(), across, down]
    energies = [F.avg_pool2d(band, PATCH) for band in bands]
    # Structure on the lattice of 8 px blocks, in which picture formats store pictures.
    energies.append(F.avg_pool2d(across[..., 7::8], (PATCH, PATCH // 8)))
    energies.append(F.avg_pool2d(down[..., 7::8, :], (PATCH // 8, PATCH)))
    energy = (torch.cat(energies, 1) + 1e-5).log().add(7.0).div(2.5)
    return torch.cat([_cells(F.avg_pool2d(pixels, CELL // THUMBNAIL)), _cells(energy)], 2)


def _smooth(plane: Tensor, width: int) -> Tensor:
    return F.avg_pool2d(plane, width, 1, width // 2, count_include_pad=False)


def _cells(planes: Tensor) -> Tensor:
    """(b, c, GRID * s, GRID * s) -> (b, cells, c * s * s)."""
    side = planes.shape[-1] // GRID
    planes = planes.unflatten(3, (GRID, side)).unflatten(2, (GRID, side))
    return planes.permute(0, 2, 4, 1, 3, 5).reshape(len(planes), GRID * GRID, -1)


class Losses(NamedTuple):
    """What a step brings down."""

    chat: Tensor  # (), the mean per answer token
    probe: Tensor  # ()


Forward = Callable[[Tensor, Tensor, Tensor], Losses]  # images, tokens, answers


class Trainee(nn.Module):
    """The model's forward pass for rows of ours: the same arithmetic as its own, without anything dynamic."""

    def __init__(self, model: SmolVLMForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        text: Any = model.config.text_config
        self.probe = nn.Linear(text.hidden_size, MEASURES)

    def forward(self, images: Tensor, tokens: Tensor, answers: Tensor) -> Losses:
        pixels = to_pixels(images)
        seen = self.look(pixels)
        hidden = self.read(seen, tokens)
        logits = self.model.lm_head(hidden[:, :-1]).float()
        losses = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        said = answers[:, 1:].flatten().float()
        with torch.no_grad():
            measures = appearance(pixels)
        return Losses((losses * said).sum() / said.sum(), F.smooth_l1_loss(self.probe(seen).float(), measures))

    def look(self, pixels: Tensor) -> Tensor:
        """The image tokens."""
        tower = self.model.model.vision_model
        everywhere = torch.ones(len(pixels), *(IMAGE_SIZE // PATCH,) * 2, dtype=torch.bool, device=pixels.device)
        hidden = tower.embeddings(pixel_values=pixels, patch_attention_mask=everywhere)
        for layer in tower.encoder.layers:
            hidden = layer(hidden, None)
        tokens: Tensor = self.model.model.connector(tower.post_layernorm(hidden))
        return tokens

    def read(self, seen: Tensor, tokens: Tensor) -> Tensor:
        """The text model's last hidden states."""
        text = self.model.model.text_model
        words = text.embed_tokens(tokens)
        end = FIRST_IMAGE_TOKEN + IMAGE_TOKENS
        hidden = torch.cat([words[:, :FIRST_IMAGE_TOKEN], seen.to(words.dtype), words[:, end:]], 1)
        places = torch.arange(tokens.shape[1], device=tokens.device)[None]
        angles = text.rotary_emb(hidden, position_ids=places)
        for layer in text.layers:
            hidden = layer(hidden, attention_mask=None, position_ids=places, position_embeddings=angles)
        normed: Tensor = text.norm(hidden)
        return normed


def learning_rate(part: float) -> float:
    """Linear warm-up, then a cosine to nothing; `part` of the run is done."""
    return PEAK_RATE * min(part / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * min(part, 1.0)))


class Ready(NamedTuple):
    """What can be trained."""

    trainee: Trainee
    forward: Forward  # its forward pass


def ready(model: SmolVLMForConditionalGeneration, batch: int, length: int) -> Ready:
    """A trainee, compiled for one shape where that pays (on a GPU), before there is any data."""
    device = model.device
    trainee = Trainee(model).to(device).train()
    if device.type != "cuda":
        return Ready(trainee, trainee)
    forward: Forward = torch.compile(trainee, dynamic=False)
    images = torch.zeros(batch, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8, device=device)
    tokens = torch.zeros(batch, length, dtype=torch.long, device=device)
    with torch.autocast(device.type, torch.bfloat16):
        loss, probe = forward(images, tokens, torch.ones_like(tokens, dtype=torch.bool))
    (loss + probe).backward()
    trainee.zero_grad(set_to_none=True)
    return Ready(trainee, forward)


def train(
    trainee: Trainee,
    forward: Forward,
    chats: Chats,
    *,
    steps: int,
    batch: int,
    seed: int,
    seconds: float,
    checkpoint: Callable[[list[dict[str, Any]]], None],
) -> list[dict[str, Any]]:
    """Train in place and return the curve. After `seconds` the run is cut: the cosine bends to end by then."""
    device = chats.images.device
    matrices = [p for p in trainee.parameters() if p.ndim > 1]
    vectors = [p for p in trainee.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=device.type == "cuda")
    dice = torch.Generator(device=device).manual_seed(seed)
    many, kinds = chats.tokens.shape[:2]
    order = torch.empty(0, dtype=torch.long, device=device)
    curve: list[dict[str, Any]] = []
    began = saved = time.monotonic()
    step, part = 0, 0.0
    while part < 1.0:
        while len(order) < batch:
            order = torch.cat([order, torch.randperm(many, generator=dice, device=device)])
        rows, order = order[:batch], order[batch:]
        chat = torch.randint(kinds, (batch,), generator=dice, device=device)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(part)
        with torch.autocast(device.type, torch.bfloat16):
            loss, probe = forward(chats.images[rows], chats.tokens[rows, chat].long(), chats.answers[rows, chat])
        (loss + PROBE_WEIGHT * probe).backward()
        norm = nn.utils.clip_grad_norm_(trainee.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        # The clock is read where the device is read anyway: asking after each step would stall it.
        if step % 20 == 0 or step in (1, steps):
            now = time.monotonic()
            figures = {"loss": loss.item(), "probe": probe.item(), "norm": norm.item()}
            curve.append({"step": step, "seconds": round(now - began, 2), "rate": learning_rate(part), **figures})
            print(" ".join(f"{key} {value:.5g}" for key, value in curve[-1].items()), flush=True)
            if now - saved > 60:
                checkpoint(curve)
                saved = time.monotonic()
        part = max(step / steps, (time.monotonic() - began) / seconds)
    return curve
