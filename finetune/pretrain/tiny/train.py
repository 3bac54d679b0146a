"""How `tiny` learns, and keeps what no caption names.

Beside the chat, a probe that is thrown away afterwards predicts from every image token what its 32 x 32 pixels
look like: a thumbnail, and how much fine, middle and coarse structure they hold. Captions alone would let the
vision tower forget whatever no caption names; so grain, edges and tints stay readable in the tokens. It is
measurement, not judgement: nothing says which of it is good.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import SmolVLMForConditionalGeneration

from finetune.pretrain.tiny.model import FIRST_IMAGE_TOKEN, IMAGE_SIZE, PATCH, SCALE
from finetune.pretrain.training import Losses, chat_loss, read

CELL = PATCH * SCALE
GRID = IMAGE_SIZE // CELL
THUMBNAIL = 8
MEASURES = 3 * THUMBNAIL**2 + 8 * SCALE**2
PROBE_WEIGHT = 0.5
PEAK_RATE, WARM_UP = 1.2e-3, 0.04


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
        said = chat_loss(self.model.lm_head(hidden[:, :-1]), tokens, answers)
        with torch.no_grad():
            measures = appearance(pixels)
        return Losses(said, F.smooth_l1_loss(self.probe(seen).float(), measures))

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
        return read(self.model.model.text_model, seen, tokens, FIRST_IMAGE_TOKEN)


def learning_rate(part: float) -> float:
    """Linear warm-up, then a cosine to nothing; `part` of the run is done."""
    return PEAK_RATE * min(part / WARM_UP, 0.5 + 0.5 * math.cos(math.pi * min(part, 1.0)))
