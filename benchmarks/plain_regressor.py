"""What the way through words and hidden states costs or adds: `python -m benchmarks.plain_regressor`.

The eyes of an MLLM of InternVL's shape, without its language, fine-tuned end to end with a linear regressor on the mean
and the spread of four of their layers: the plain way. It takes the data set, the aspect and the split of params.yaml,
after the stages download and split, so that its figures stand beside theirs; the epoch is chosen on val, the test
images are scored once. An epoch on 700 images takes some seconds on a GPU and hours on two cores.
"""

import argparse
import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModelForImageTextToText, AutoProcessor

from data.tables.frames import joined, read_samples, read_table
from evaluation import ridge
from evaluation.metrics import plcc, srcc
from finetune.pretrain.small.backbone import read_backbone
from finetune.pretrain.small.model import SIDE
from m3agiqa.device import device
from m3agiqa.images import load_image
from pipeline import paths
from pipeline.settings import load

LAYERS = (3, 6, 9, 12)
RATE, DECAY, WARM_UP, BATCH = 2e-5, 0.05, 0.05, 32
PENALTIES = [10.0**power for power in range(1, 7)]


class Regressor(nn.Module):
    """Images (B, 3, s, s) -> (B,), the MOS: linear in the mean and the spread of four layers of the eyes."""

    def __init__(self, tower: nn.Module, width: int) -> None:
        super().__init__()
        self.tower = tower
        self.last = nn.Linear(2 * len(LAYERS) * width, 1)

    def moments(self, pixels: Tensor) -> Tensor:
        """(B, 3, s, s) -> (B, 2 * layers * D)."""
        states = self.tower(pixel_values=pixels, output_hidden_states=True).hidden_states
        return torch.cat([f(states[at][:, 1:].float(), dim=1) for at in LAYERS for f in (torch.mean, torch.std)], 1)

    def forward(self, pixels: Tensor) -> Tensor:
        score: Tensor = self.last(self.moments(pixels)).squeeze(-1)
        return score

    def start(self, seen: dict[str, Tensor], mos: dict[str, np.ndarray]) -> None:
        """Begin with a ridge on what the eyes give as they are, its penalty chosen on val.

        A head that begins at random would shake the eyes before it knows anything (Kumar et al., ICLR 2022).
        """
        train, val = (over(self.moments, seen[part]) for part in ("train", "val"))
        fits = ridge.fit(train, np.arange(len(train)), mos["train"], PENALTIES)
        reached = [srcc(column, mos["val"]) or -1.0 for column in fits.predict(val).T]
        weights = fits.weights[:, int(np.argmax(reached))]
        print(f"a ridge on the eyes as they are: val SRCC {max(reached):.4f}", flush=True)
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor(weights)[None])
            self.last.bias.fill_(float(fits.start - fits.mean @ weights))


def pixels(processor: object, files: Sequence[Path]) -> Tensor:
    """(n, 3, s, s) in half precision, as the MLLM would see them."""
    prepare = processor.image_processor  # type: ignore[attr-defined]
    images = [prepare(load_image(file), return_tensors="pt")["pixel_values"].half() for file in files]
    return torch.cat(images)


def over(function: Callable[[Tensor], Tensor], images: Tensor) -> np.ndarray:
    """What `function` makes of images (n, 3, s, s), a batch at a time."""
    with torch.inference_mode(), torch.autocast(images.device.type, torch.bfloat16):
        found = torch.cat([function(part.float()).float() for part in images.split(64)])
    return np.asarray(found.double().cpu().numpy())


def fit(model: Regressor, seen: dict[str, Tensor], mos: dict[str, np.ndarray], epochs: int, seed: int) -> None:
    """MSE + 1 - cosine, mirrored at random; the epoch with the highest SRCC on val is kept, the ridge among them."""
    images, spread = seen["train"], float(mos["train"].std())
    labels = torch.tensor(mos["train"], dtype=torch.float32, device=images.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=WARM_UP, cycle_momentum=False)
    dice = torch.Generator().manual_seed(seed)
    best, kept = srcc(over(model, seen["val"]), mos["val"]) or -1.0, copy.deepcopy(model.state_dict())
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=dice).to(images.device)
        for rows in order.split(BATCH)[: len(images) // BATCH]:
            given = images[rows].float()
            if torch.rand((), generator=dice) < 0.5:
                given = given.flip(3)
            with torch.autocast(images.device.type, torch.bfloat16):
                found = model(given).float()
            apart = F.cosine_similarity(found - found.mean(), labels[rows] - labels[rows].mean(), dim=0)
            (F.mse_loss(found / spread, labels[rows] / spread) + 1 - apart).backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
        reached = srcc(over(model, seen["val"]), mos["val"]) or -1.0
        print(f"epoch {epoch + 1}: val SRCC {reached:.4f}", flush=True)
        if reached > best:
            best, kept = reached, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", default="models/small", help="a folder; its vision tower is what is tuned")
    parser.add_argument("--eyes", type=Path, help="the ONNX file with DINOv2, as it was before it was taught")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="the test images' MOS and what is predicted, as CSV")
    options = parser.parse_args(argv)
    settings = load()
    where = device(settings.runtime.device)
    samples = read_samples(paths.samples(settings.dataset), settings.aspect, ["path", "prompt", "sha256"])
    samples = joined(samples, read_table(paths.splits(settings.dataset)), settings.aspect)
    mllm = AutoModelForImageTextToText.from_pretrained(options.model, dtype=torch.float32)
    if options.eyes:
        mllm.model.vision_tower.load_state_dict(read_backbone(options.eyes, SIDE))
    torch.manual_seed(options.seed)
    model = Regressor(mllm.model.vision_tower, mllm.config.vision_config.hidden_size).to(where)
    processor = AutoProcessor.from_pretrained(options.model)
    parts = {name: samples[samples["split"] == name] for name in ("train", "val", "test")}
    seen = {
        name: pixels(processor, [paths.raw(settings.dataset) / path for path in part["path"]]).to(where)
        for name, part in parts.items()
    }
    mos = {name: part[f"mos_{settings.aspect}"].to_numpy() for name, part in parts.items()}
    model.start(seen, mos)
    fit(model, seen, mos, options.epochs, options.seed)
    predicted = over(model, seen["test"])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"image_id": parts["test"]["image_id"], "mos": mos["test"], "predicted": predicted}).to_csv(
        options.out, index=False
    )
    print(f"test, n {len(predicted)}: SRCC {srcc(predicted, mos['test']):.4f}, PLCC {plcc(predicted, mos['test']):.4f}")


if __name__ == "__main__":
    main()
