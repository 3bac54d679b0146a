"""card: what a user of the trained aspect must know of it: made from what, how sure, on which images, how good.

With the adapter and the head this is all that `m3agiqa predict` needs, so that scoring a new image reads no data.
"""

from typing import Any, NamedTuple

import numpy as np
import torch

from data.feature_store.store import FeatureStore
from data.tables.frames import joined, read_samples, read_table
from evaluation.conformal import outlier_threshold
from m3agiqa.aspects import MOS_RANGE, Scale
from m3agiqa.card import FORMAT, Card, head_sha256, write_card
from m3agiqa.errors import InputError
from m3agiqa.files import read_json
from m3agiqa.head.model import load_head
from m3agiqa.images import load_image
from m3agiqa.mllm import adapters
from m3agiqa.mllm.conversation import QUESTIONS
from m3agiqa.progress import progress
from m3agiqa.versions import versions
from m3agiqa.warnings.images import distance, facts, limits_of
from pipeline import paths
from pipeline.settings import Settings
from pipeline.stage import stage

BATCH = 32


def main(settings: Settings) -> None:
    dataset, aspect = settings.dataset, settings.aspect
    profile = settings.mllms[settings.mllm]
    samples = read_samples(paths.samples(dataset), aspect, ["path", "prompt"])
    samples = joined(samples, read_table(paths.splits(dataset)), aspect)
    train, val = (samples[samples["split"] == part] for part in ("train", "val"))
    store = FeatureStore.open(paths.features(dataset, aspect))
    figures, interval = _figures(settings)

    limits = limits_of(
        facts(load_image(paths.raw(dataset) / path))
        for path in progress(train["path"], total=len(train), desc="look at training images", unit="images")
    )
    card = {
        "format": FORMAT,
        "dataset": dataset,
        "aspect": aspect,
        "mllm": profile.profile,
        "adapted": profile.adapter is not None or adapters.is_there(paths.adapter(dataset, aspect)),
        "identity": store.fingerprint["mllm"],
        "head": head_sha256(paths.head(dataset, aspect)),
        "questions": dict(sorted(QUESTIONS.items())),
        "interval": interval,
        "familiar": {
            "limits": limits,
            "prompt_characters": int(train["prompt"].str.len().max()),
            "distance": outlier_threshold(_distances(settings, store, list(val["image_id"]))),
        },
        "scale": _scale(dataset),
        "figures": figures,
        "made_with": versions(),
        "made_on": read_json(paths.EVALUATION)["made_on"],
    }
    write_card(Card.model_validate(card), paths.card(dataset, aspect))


def _scale(dataset: str) -> Scale:
    """What people rated the images on, as they were read in; nobody rated those that are rendered."""
    about = paths.raw(dataset) / "about.json"
    return Scale(*read_json(about)["scale"]) if about.exists() else MOS_RANGE


class _Found(NamedTuple):
    """By evaluate; of another data set's test images no figures, and of the interval the width alone."""

    figures: dict[str, Any]
    interval: dict[str, Any]


def _figures(settings: Settings) -> _Found:
    path = paths.EVALUATION
    figures = read_json(path)
    for key in ("dataset", "aspect"):
        if figures[key] != getattr(settings, key):
            raise InputError(f"{path}: {key} is {figures[key]}, expected {getattr(settings, key)}; run evaluate")
    if figures["cross"]:  # the width comes from this data set's validation images all the same
        return _Found({}, {**figures["interval"], "coverage": None})
    return _Found(figures, figures["interval"])


def _distances(settings: Settings, store: FeatureStore, ids: list[str]) -> np.ndarray:
    """(N,) how far each image's hidden states are from the training images'."""
    head = load_head(paths.head(settings.dataset, settings.aspect))
    found = [distance(head, *images.tensors) for images in store.batches(ids, BATCH)]
    return torch.cat(found).numpy()


if __name__ == "__main__":
    stage(main)
