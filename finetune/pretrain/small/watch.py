"""What the states are worth for a task that is not taught: a ridge on them, against people's ratings.

Looked at after the teaching, so that what it costs the eyes does not go unseen. No picture of theirs is taught.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor

from finetune.pretrain.small.model import FIRST_IMAGE_TOKEN, IMAGE_SIZE, IMAGE_TOKENS, MEAN
from finetune.pretrain.small.train import LAYERS, Trainee, layers, to_pixels
from m3agiqa.images import load_image

FOLDS, PENALTY, BATCH = 5, 30.0, 64


class Worth(NamedTuple):
    """SRCC over five folds of a ridge on mean and spread of …"""

    untouched_eyes: float  # … four layers of the eyes as they came
    taught_eyes: float  # … the same layers, as they are now
    last_states: float  # … the image tokens' last states in the language part


class Watched:
    """Rated pictures of a folder: data.csv (columns name, mos_quality or another mos_…) and images/."""

    def __init__(self, folder: Path, column: str, device: str) -> None:
        with (folder / "data.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row[column]]
        self.images = torch.stack([_square(folder / "images" / row["name"]) for row in rows]).to(device)
        self.ratings = np.array([float(row[column]) for row in rows])

    @torch.no_grad()
    def worth(self, trainee: Trainee, tokens: Tensor) -> Worth:
        """What each part's states are worth; `tokens` (1, T) is the row that is read."""
        found: list[list[Tensor]] = [[], [], []]
        trainee.eval()
        for part in self.images.split(BATCH):
            pixels = to_pixels(part)
            with torch.autocast(part.device.type, torch.bfloat16):
                towers = trainee.untouched, trainee.model.model.vision_tower
                eyes = [[states[at][:, 1:] for at in LAYERS] for states in (layers(tower, pixels) for tower in towers)]
                last = trainee.read(trainee.look(pixels), tokens.expand(len(part), -1))
            last = last[:, FIRST_IMAGE_TOKEN : FIRST_IMAGE_TOKEN + IMAGE_TOKENS]
            for place, states in enumerate([*eyes, [last]]):
                moments = [f(each.float(), dim=1) for each in states for f in (torch.mean, torch.std)]
                found[place].append(torch.cat(moments, 1).cpu())
        trainee.train()
        return Worth(*(ridge_srcc(torch.cat(each).double().numpy(), self.ratings) for each in found))


def ridge_srcc(x: np.ndarray, y: np.ndarray) -> float:
    """(n, d), (n,) -> SRCC of what a ridge says of each fold that it did not see."""
    fold = np.random.default_rng(0).permutation(len(y)) % FOLDS
    said = np.zeros(len(y))
    for at in range(FOLDS):
        train = fold != at
        mean, scale = x[train].mean(0), x[train].std(0) + 1e-6
        a, b = (x[train] - mean) / scale, (x[~train] - mean) / scale
        kernel = a @ a.T + PENALTY * a.shape[1] / 100 * np.eye(len(a))
        said[~train] = b @ a.T @ np.linalg.solve(kernel, y[train] - y[train].mean())
    return float(spearmanr(said, y)[0])


def _square(path: Path) -> Tensor:
    """(s, s, 3) uint8, as the image processor pads and resizes it."""
    image = load_image(path)
    side = max(image.size)
    square = Image.new("RGB", (side, side), tuple(int(255 * channel) for channel in MEAN))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return torch.from_numpy(np.array(square.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)))
