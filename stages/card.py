"""card: what a user of the trained aspect must know of it: made from what, how sure, on which images, how good.

With the adapter and the head this is all that stages/predict.py needs, so that scoring a new image reads no data.
"""

import json
from importlib.metadata import version

import numpy as np
import pandas as pd
import torch

from analyzers.conversation import QUESTIONS
from data.errors import InputError
from data.feature_store import FeatureStore
from data.images import load_image
from data.tables import MOS_RANGE, joined, read_table
from scoring import familiar
from scoring.card import FORMAT, MLLM, Card, head_sha256, write_card, write_training
from stages import paths
from stages.progress import progress
from stages.run import stage
from stages.settings import Settings
from stages.student import ADAPTER_FILE

MADE_WITH = ("torch", "transformers", "peft", "xlstm", "pillow", "numpy")
MOST_TRAINING_IMAGES = 2000  # neighbours to compare with: 16 MB at 4096 dimensions


def main(settings: Settings) -> None:
    dataset, aspect = settings.dataset, settings.aspect
    samples = joined(read_table(paths.samples(dataset), ["path", "prompt"]), read_table(paths.splits(dataset)))
    train, val = (samples[samples["split"] == part] for part in ("train", "val"))
    store = FeatureStore.open(paths.features(dataset, aspect))
    figures = _figures(settings)

    shown = train.iloc[:: -(-len(train) // MOST_TRAINING_IMAGES)]
    training, validation = (_mean_states(store, part) for part in (shown, val))
    limits = familiar.limits_of(
        familiar.facts(load_image(paths.raw(dataset) / path))
        for path in progress(train["path"], total=len(train), desc="look at training images", unit="images")
    )
    folder = paths.card(dataset, aspect)
    write_training(folder, torch.from_numpy(training))
    card = {
        "format": FORMAT,
        "dataset": dataset,
        "aspect": aspect,
        "mllm": settings.mllms[settings.mllm].model_dump(include=set(MLLM.model_fields)),
        "adapted": (paths.adapter(dataset, aspect) / ADAPTER_FILE).exists(),
        "identity": store.fingerprint["mllm"],
        "head": head_sha256(paths.head(dataset, aspect)),
        "questions": dict(sorted(QUESTIONS.items())),
        "interval": figures["interval"],
        "familiar": {
            "limits": limits,
            "prompt_characters": int(train["prompt"].str.len().max()),
            "distance": familiar.farthest_familiar(familiar.distances(validation, training)),
        },
        "scale": MOS_RANGE,
        "figures": figures,
        "made_with": {name: version(name) for name in MADE_WITH},
    }
    write_card(Card.model_validate(card), folder / "card.json")


def _figures(settings: Settings) -> dict:
    path = paths.RESULTS / "metrics.json"
    figures = json.loads(path.read_text(encoding="utf-8"))
    for key in ("dataset", "aspect"):
        if figures[key] != getattr(settings, key):
            raise InputError(f"{path}: {key} is {figures[key]}, expected {getattr(settings, key)}; run evaluate")
    return figures


def _mean_states(store: FeatureStore, images: pd.DataFrame) -> np.ndarray:
    """Each image's hidden states, averaged over its tokens, (N, D); one image in memory at a time."""
    return np.stack([store[image_id].float().mean(dim=0).numpy() for image_id in images["image_id"]])


if __name__ == "__main__":
    stage(main)
