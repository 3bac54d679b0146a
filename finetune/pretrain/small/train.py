"""How `small` learns: one compiled step over rows of one view and one chat, all of one length.

The eyes were trained on far more pictures than are at hand, and would forget most of that if captions alone pulled at
them. So beside the chat a probe, thrown away afterwards, reads off the language part's last hidden states what the
untouched eyes saw at the same place, in four of their layers: what was there stays, what is asked for comes to it, and
what early layers know (texture, grain, edges) reaches the states that a head will read. The eyes learn at a hundredth
of the rate of the rest, and not before the rest has found its feet.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import InternVLForConditionalGeneration

from finetune.pretrain.small.model import FIRST_IMAGE_TOKEN, FOLD, IMAGE_SIZE, IMAGE_TOKENS, MEAN, SIDE, STD

LAYERS = (3, 6, 9, 12)  # of the eyes, for the probe
PROBE_WEIGHT = 1.0
RATE, EYES_RATE = 1e-3, 1e-5
WARM_UP, EYES_OPEN = 0.03, 0.2  # shares of the run
DECAY, CLIP = 0.05, 1.0
DROPOUT = 0.1  # of the image tokens: few pictures are known by heart soon
MEASURED_ON = 512  # views, for mean and spread of what the probe reads off

Forward = Callable[[Tensor, Tensor, Tensor], "Losses"]  # images, tokens, answers


@dataclass(frozen=True)
class Chats:
    """Training rows on the device: n views with k chats each."""

    images: Tensor  # (n, size, size, 3) uint8
    tokens: Tensor  # (n, k, length) int16, padded on the right
    answers: Tensor  # (n, k, length) bool: what an assistant says


class Losses(NamedTuple):
    """What a step brings down."""

    chat: Tensor  # (), the mean per answer token
    probe: Tensor  # (), 1 for a probe that knows nothing


def to_pixels(images: Tensor) -> Tensor:
    """What the image processor makes of uint8 pictures of the right size: (B, s, s, 3) -> (B, 3, s, s)."""
    mean, std = (images.new_tensor(each, dtype=torch.float32)[:, None, None] for each in (MEAN, STD))
    return (images.permute(0, 3, 1, 2).float() / 255 - mean) / std


def layers(tower: Any, pixels: Tensor) -> list[Tensor]:
    """The states (B, 1 + patches, D) before the first layer and after each."""
    hidden = tower.embeddings(pixels)
    states = [hidden]
    for layer in tower.encoder.layer:
        hidden = layer(hidden)
        states.append(hidden)
    return states


class Trainee(nn.Module):
    """The model's forward pass for rows of ours: the same arithmetic as its own, without anything dynamic."""

    def __init__(self, model: InternVLForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        self.untouched = copy.deepcopy(model.model.vision_tower).requires_grad_(requires_grad=False)
        vision, text = (getattr(model.config, part).hidden_size for part in ("vision_config", "text_config"))
        self.seen_mean = nn.Buffer(torch.zeros(len(LAYERS) * vision))
        self.seen_scale = nn.Buffer(torch.ones(len(LAYERS) * vision))
        self.probe = nn.Linear(text, len(LAYERS) * vision)

    def forward(self, images: Tensor, tokens: Tensor, answers: Tensor) -> Losses:
        pixels = to_pixels(images)
        hidden = self.read(F.dropout(self.look(pixels), DROPOUT, self.training), tokens)
        logits = self.model.lm_head(hidden[:, :-1]).float()
        losses = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        said = answers[:, 1:].flatten().float()
        wanted = (self.seen(pixels) - self.seen_mean) * self.seen_scale
        found = self.probe(hidden[:, FIRST_IMAGE_TOKEN : FIRST_IMAGE_TOKEN + IMAGE_TOKENS]).float()
        return Losses((losses * said).sum() / said.sum(), F.mse_loss(found, wanted))

    def look(self, pixels: Tensor) -> Tensor:
        """The image tokens: (B, 3, s, s) -> (B, tokens, D)."""
        patches = layers(self.model.model.vision_tower, pixels)[-1]
        patches = self.model.model.vision_tower.layernorm(patches)[:, 1:].unflatten(1, (SIDE, SIDE))
        folded = self.model.model.pixel_shuffle(patches, scale_factor=1 / FOLD).flatten(1, 2)
        tokens: Tensor = self.model.model.multi_modal_projector(folded)
        return tokens

    def read(self, seen: Tensor, tokens: Tensor) -> Tensor:
        """The language part's last hidden states: (B, T, D)."""
        text = self.model.model.language_model
        words = text.embed_tokens(tokens)
        end = FIRST_IMAGE_TOKEN + IMAGE_TOKENS
        hidden = torch.cat([words[:, :FIRST_IMAGE_TOKEN], seen.to(words.dtype), words[:, end:]], 1)
        places = torch.arange(tokens.shape[1], device=tokens.device)[None]
        angles = text.rotary_emb(hidden, position_ids=places)
        for layer in text.layers:
            hidden = layer(hidden, attention_mask=None, position_ids=places, position_embeddings=angles)
        normed: Tensor = text.norm(hidden)
        return normed

    @torch.no_grad()
    def seen(self, pixels: Tensor) -> Tensor:
        """What the untouched eyes see in each token's place: (B, tokens, layers * D)."""
        states = layers(self.untouched, pixels)
        several = torch.cat([states[at][:, 1:] for at in LAYERS], 2).float()  # (B, patches, layers * D)
        grid = several.unflatten(1, (SIDE, SIDE)).permute(0, 3, 1, 2)
        return F.avg_pool2d(grid, FOLD).flatten(2).transpose(1, 2)

    @torch.no_grad()
    def measure(self, images: Tensor) -> None:
        """Mean and spread of what the untouched eyes see, from some views."""
        seen = torch.cat([self.seen(to_pixels(part)) for part in images.split(32)]).flatten(0, 1)
        self.seen_mean.copy_(seen.mean(0))
        self.seen_scale.copy_(1 / seen.std(0).clamp(min=1e-3))


def learning_rates(part: float) -> tuple[float, float]:
    """Of everything but the eyes, and of the eyes: linear warm-up, then a cosine to nothing; `part` is done."""
    bend = 0.5 + 0.5 * math.cos(math.pi * min(part, 1.0))
    opened = min(max(part - EYES_OPEN, 0.0) / EYES_OPEN, 1.0)
    return RATE * min(part / WARM_UP, bend), EYES_RATE * min(opened, bend)


def ready(model: InternVLForConditionalGeneration, batch: int, length: int) -> tuple[Trainee, Forward]:
    """A trainee and its forward pass, compiled for one shape where that pays (on a GPU), before there is any data."""
    device = model.device
    trainee = Trainee(model).to(device).train()
    if device.type != "cuda":
        return trainee, trainee
    forward: Forward = torch.compile(trainee, dynamic=False)
    images = torch.zeros(batch, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8, device=device)
    tokens = torch.zeros(batch, length, dtype=torch.long, device=device)
    with torch.autocast(device.type, torch.bfloat16):
        loss, probe = forward(images, tokens, torch.ones_like(tokens, dtype=torch.bool))
    (loss + probe).backward()
    trainee.zero_grad(set_to_none=True)
    return trainee, forward


def groups(trainee: Trainee) -> list[dict[str, Any]]:
    """Parameters for the optimiser: the eyes apart, and vectors without decay."""
    eyes = {id(parameter) for parameter in trainee.model.model.vision_tower.parameters()}
    found: list[dict[str, Any]] = [
        {"params": [], "eyes": at_eyes, "weight_decay": decay} for at_eyes in (False, True) for decay in (DECAY, 0.0)
    ]
    for parameter in trainee.parameters():
        if parameter.requires_grad:
            found[2 * (id(parameter) in eyes) + (parameter.ndim <= 1)]["params"].append(parameter)
    return found


def train(
    trainee: Trainee,
    forward: Forward,
    chats: Chats,
    *,
    steps: int,
    batch: int,
    seed: int,
    seconds: float,
) -> list[dict[str, Any]]:
    """Train in place and return the curve. After `seconds` the run is cut: the cosine bends to end by then."""
    device = chats.images.device
    trainee.measure(chats.images[:MEASURED_ON])
    optimizer = torch.optim.AdamW(groups(trainee), lr=0.0, betas=(0.9, 0.95), fused=device.type == "cuda")
    dice = torch.Generator(device=device).manual_seed(seed)
    many, kinds = chats.tokens.shape[:2]
    order = torch.empty(0, dtype=torch.long, device=device)
    curve: list[dict[str, Any]] = []
    began = time.monotonic()
    step, part = 0, 0.0
    while part < 1.0:
        while len(order) < batch:
            order = torch.cat([order, torch.randperm(many, generator=dice, device=device)])
        rows, order = order[:batch], order[batch:]
        chat = torch.randint(kinds, (batch,), generator=dice, device=device)
        rate, eyes_rate = learning_rates(part)
        for group in optimizer.param_groups:
            group["lr"] = eyes_rate if group["eyes"] else rate
        with torch.autocast(device.type, torch.bfloat16):
            loss, probe = forward(chats.images[rows], chats.tokens[rows, chat].long(), chats.answers[rows, chat])
        (loss + PROBE_WEIGHT * probe).backward()
        norm = nn.utils.clip_grad_norm_(trainee.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        # The clock is read where the device is read anyway: asking after each step would stall it.
        if step % 20 == 0 or step in (1, steps):
            figures = {"loss": loss.item(), "probe": probe.item(), "norm": norm.item()}
            curve.append({"step": step, "seconds": round(time.monotonic() - began, 2), "rate": rate, **figures})
            print(" ".join(f"{key} {value:.5g}" for key, value in curve[-1].items()), flush=True)
        part = max(step / steps, (time.monotonic() - began) / seconds)
    return curve
