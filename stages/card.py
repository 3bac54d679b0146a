"""card: what a user of the trained aspect must know of it: made from what, how sure, on which images, how good.

With the adapter and the head this is all that stages/predict.py needs, so that scoring a new image reads no data.
"""

import json
from importlib.metadata import version

import numpy as np
import torch

from analyzers.conversation import QUESTIONS
from data.errors import InputError
from data.feature_store import FeatureStore
from data.images import load_image
from data.tables import MOS_RANGE, joined, read_table
from finetune.heads import load_head
from scoring import familiar
from scoring.card import FORMAT, MLLM, Card, head_sha256, write_card
from stages import paths
from stages.progress import progress
from stages.run import stage
from stages.settings import Settings

MADE_WITH = ("torch", "transformers", "peft", "xlstm", "pillow", "numpy")
BATCH = 32


def main(settings: Settings) -> None:
    dataset, aspect = settings.dataset, settings.aspect
    profile = settings.mllms[settings.mllm]
    samples = joined(read_table(paths.samples(dataset), ["path", "prompt"]), read_table(paths.splits(dataset)), aspect)
    train, val = (samples[samples["split"] == part] for part in ("train", "val"))
    store = FeatureStore.open(paths.features(dataset, aspect))
    figures, interval = _figures(settings)

    limits = familiar.limits_of(
        familiar.facts(load_image(paths.raw(dataset) / path))
        for path in progress(train["path"], total=len(train), desc="look at training images", unit="images")
    )
    card = {
        "format": FORMAT,
        "dataset": dataset,
        "aspect": aspect,
        "mllm": profile.model_dump(include=set(MLLM.model_fields)),
        "adapted": profile.adapter is not None or (paths.adapter(dataset, aspect) / paths.ADAPTER_FILE).exists(),
        "identity": store.fingerprint["mllm"],
        "head": head_sha256(paths.head(dataset, aspect)),
        "questions": dict(sorted(QUESTIONS.items())),
        "interval": interval,
        "familiar": {
            "limits": limits,
            "prompt_characters": int(train["prompt"].str.len().max()),
            "distance": familiar.farthest_familiar(_distances(settings, store, list(val["image_id"]))),
        },
        "scale": MOS_RANGE,
        "figures": figures,
        "made_with": {name: version(name) for name in MADE_WITH},
    }
    write_card(Card.model_validate(card), paths.card(dataset, aspect))


def _figures(settings: Settings) -> tuple[dict, dict]:
    """What evaluate found, and the interval; of another data set's test images nothing, and the width alone."""
    path = paths.RESULTS / "metrics.json"
    figures = json.loads(path.read_text(encoding="utf-8"))
    for key in ("dataset", "aspect"):
        if figures[key] != getattr(settings, key):
            raise InputError(f"{path}: {key} is {figures[key]}, expected {getattr(settings, key)}; run evaluate")
    if figures["cross"]:  # the width comes from this data set's validation images all the same
        return {}, {**figures["interval"], "coverage": None}
    return figures, figures["interval"]


def _distances(settings: Settings, store: FeatureStore, ids: list[str]) -> np.ndarray:
    """(N,) how far each image's hidden states are from the training images'."""
    head = load_head(paths.head(settings.dataset, settings.aspect))
    found = [familiar.distance(head, *images.tensors) for images in store.batches(ids, BATCH)]
    return torch.cat(found).numpy()


if __name__ == "__main__":
    stage(main)
