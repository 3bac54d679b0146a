"""card: what a user of the trained aspect must know of it: made from what, how sure, on which images, how good.

With the adapter and the head this is all that `m3agiqa predict` needs, so that scoring a new image reads no data.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.feature_store.store import FeatureStore
from data.tables.frames import joined, read_samples, read_table
from evaluation.conformal import outlier_threshold
from m3agiqa.aspects import MOS_RANGE, Scale
from m3agiqa.card import FORMAT, Card, head_sha256, write_card
from m3agiqa.errors import InputError
from m3agiqa.files import read_json
from m3agiqa.images import load_image
from m3agiqa.mllm import adapters
from m3agiqa.mllm.chat import Chat
from m3agiqa.mllm.conversation import QUESTIONS
from m3agiqa.mllm.loading import load_processor
from m3agiqa.progress import progress
from m3agiqa.versions import versions
from m3agiqa.warnings.images import Content, Limits, content_of, distance, facts, limits_of
from pipeline import paths
from pipeline.settings import Settings
from pipeline.stage import stage

BATCH = 32
PERCENTILES = 101  # of the training MOS, from the lowest to the highest
SOME = 1e-6  # of a deviation: a dimension may be the same for all images


def main(settings: Settings) -> None:
    dataset, aspect = settings.dataset, settings.aspect
    profile = settings.mllms[settings.mllm]
    samples = read_samples(paths.samples(dataset), aspect, ["path", "prompt"])
    samples = joined(samples, read_table(paths.splits(dataset)), aspect)
    train, val = (samples[samples["split"] == part] for part in ("train", "val"))
    store = FeatureStore.open(paths.features(dataset, aspect))
    reached = _figures(settings)

    found = {
        path: facts(load_image(paths.raw(dataset) / path))
        for path in progress(train["path"], total=len(train), desc="look at training images", unit="images")
    }
    smallest = load_image(paths.raw(dataset) / min(found, key=lambda path: found[path]["pixels"]))
    tokens = Chat(load_processor(profile.profile), set(), profile.model).image_end(smallest)
    card = {
        "format": FORMAT,
        "dataset": dataset,
        "aspect": aspect,
        "described": () if settings.described == (aspect,) else settings.described,
        "mllm": profile.profile,
        "adapted": profile.adapter is not None or adapters.is_there(paths.adapter(dataset, aspect)),
        "identity": store.fingerprint["mllm"],
        "head": _head(paths.head(dataset, aspect), reached, cross=reached["cross"]),
        "fast_head": _head(paths.fast_head(dataset, aspect), reached["fast"], cross=reached["cross"]),
        "questions": dict(sorted(QUESTIONS.items())),
        "familiar": {
            "limits": limits_of(found.values()),
            "prompt_characters": Limits(*train["prompt"].str.len().agg(["min", "max"])),
            "content": _content(store, train["image_id"], val["image_id"], tokens),
        },
        **_world(dataset),
        "mos": [round(value, 4) for value in np.quantile(train[f"mos_{aspect}"], np.linspace(0, 1, PERCENTILES))],
        "figures": {} if reached["cross"] else reached,
        "made_with": versions(),
        "made_on": reached["made_on"],
    }
    write_card(Card.model_validate(card), paths.card(dataset, aspect))


def _world(dataset: str) -> dict[str, Any]:
    """Whether people rated the images, and on what scale, as its reader found them; nobody rated rendered ones."""
    about = paths.raw(dataset) / "about.json"
    if not about.exists():
        return {"world": "simulated", "scale": MOS_RANGE}
    return {"world": "real", "scale": Scale(*read_json(about)["scale"])}


def _figures(settings: Settings) -> dict[str, Any]:
    """What evaluate found of this data set and aspect."""
    figures: dict[str, Any] = read_json(paths.EVALUATION)
    for key in ("dataset", "aspect"):
        if figures[key] != (expected := getattr(settings, key)):
            raise InputError(f"{paths.EVALUATION}: {key} is {figures[key]}, expected {expected}; run evaluate")
    return figures


def _head(folder: Path, figures: dict[str, Any], *, cross: bool) -> dict[str, Any]:
    """Of a head what validation images tell of its scores; no coverage of another data set's test images."""
    interval, preference = figures["interval"], figures["preference"]
    return {
        "sha256": head_sha256(folder),
        "interval": {**interval, "coverage": None} if cross else interval,
        "preference": {name: preference[name] for name in ("spread", "within_prompts")},
    }


def _content(store: FeatureStore, train: Iterable[str], val: Iterable[str], tokens: int) -> Content:
    """What the training images look like to the MLLM, and how far from that validation images are."""
    sums = [torch.zeros(store.dim, dtype=torch.float64) for _ in range(2)]
    ids = list(train)
    for images in store.batches(ids, BATCH):
        seen = content_of(images.states, images.mask, tokens).double()  # (B, D)
        sums[0] += seen.sum(dim=0)
        sums[1] += seen.square().sum(dim=0)
    mean = sums[0] / len(ids)  # (D,)
    scale = 1 / ((sums[1] / len(ids) - mean.square()).clamp(min=0).sqrt() + SOME)
    content = Content(tokens=tokens, mean=_rounded(mean), scale=_rounded(scale), distance=0)
    far = torch.cat([distance(images.states, images.mask, content) for images in store.batches(list(val), BATCH)])
    return content.model_copy(update={"distance": outlier_threshold(far.numpy())})


def _rounded(values: torch.Tensor) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values.tolist())


if __name__ == "__main__":
    stage(main)
