"""How `small` learns, and keeps what its eyes knew.

The eyes were trained on far more pictures than are at hand, and would forget most of that if captions alone pulled at
them. So beside the chat a probe, thrown away afterwards, reads off the language part's last hidden states what the
untouched eyes saw at the same place, in four of their layers: what was there stays, what is asked for comes to it, and
what early layers know (texture, grain, edges) reaches the states that a head will read. The eyes learn at a hundredth
of the rate of the rest, and not before the rest has found its feet.
"""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import InternVLForConditionalGeneration

from finetune.pretrain.small.model import FIRST_IMAGE_TOKEN, FOLD, IMAGE_TOKENS, MEAN, SIDE, STD
from finetune.pretrain.training import Learner, Losses, chat_loss, read

LAYERS = (3, 6, 9, 12)  # of the eyes, for the probe
PROBE_WEIGHT = 1.0
RATE, EYES_RATE = 1e-3, 1e-5
WARM_UP, EYES_OPEN = 0.03, 0.2  # shares of the run
DROPOUT = 0.1  # of the image tokens: few pictures are known by heart soon
MEASURED_ON = 512  # views, for mean and spread of what the probe reads off


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
        said = chat_loss(self.model.lm_head(hidden[:, :-1]), tokens, answers)
        wanted = (self.seen(pixels) - self.seen_mean) * self.seen_scale
        found = self.probe(hidden[:, FIRST_IMAGE_TOKEN : FIRST_IMAGE_TOKEN + IMAGE_TOKENS]).float()
        return Losses(said, F.mse_loss(found, wanted))  # the probe's is 1 where it knows nothing

    def look(self, pixels: Tensor) -> Tensor:
        """The image tokens: (B, 3, s, s) -> (B, tokens, D)."""
        patches = layers(self.model.model.vision_tower, pixels)[-1]
        patches = self.model.model.vision_tower.layernorm(patches)[:, 1:].unflatten(1, (SIDE, SIDE))
        folded = self.model.model.pixel_shuffle(patches, scale_factor=1 / FOLD).flatten(1, 2)
        tokens: Tensor = self.model.model.multi_modal_projector(folded)
        return tokens

    def read(self, seen: Tensor, tokens: Tensor) -> Tensor:
        """The language part's last hidden states: (B, T, D)."""
        return read(self.model.model.language_model, seen, tokens, FIRST_IMAGE_TOKEN)

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


def learners(trainee: Trainee) -> list[Learner]:
    """Everything but the eyes, and the eyes."""
    eyes = list(trainee.model.model.vision_tower.parameters())
    known = {id(parameter) for parameter in [*eyes, *trainee.untouched.parameters()]}
    return [Learner([each for each in trainee.parameters() if id(each) not in known], rate), Learner(eyes, eyes_rate)]


def rate(part: float) -> float:
    """Linear warm-up, then a cosine to nothing; `part` of the run is done."""
    return RATE * min(part / WARM_UP, _bend(part))


def eyes_rate(part: float) -> float:
    """Nothing at first, then as gently as that."""
    return EYES_RATE * min(max(part - EYES_OPEN, 0.0) / EYES_OPEN, _bend(part))


def _bend(part: float) -> float:
    return 0.5 + 0.5 * math.cos(math.pi * min(part, 1.0))
