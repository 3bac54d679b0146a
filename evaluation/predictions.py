"""What a head says of images whose hidden states are stored."""

from collections.abc import Sequence

import pandas as pd
import torch

from data.feature_store.store import FeatureStore
from m3agiqa.head.model import Head
from m3agiqa.progress import Progress, silent


def predict(
    head: Head,
    store: FeatureStore,
    ids: Sequence[str],
    *,
    batch: int = 32,
    device: str = "cpu",
    progress: Progress = silent,
) -> pd.Series:
    """Predicted MOS of each image, in the order of `ids`."""
    head.to(device).eval()
    found: dict[str, float] = {}
    batches = store.batches(ids, batch, pin=device.startswith("cuda"))
    with torch.no_grad():
        for images in progress(batches, total=-(-len(ids) // batch), desc="predict", unit="batch"):
            predicted = head(*images.to(device).tensors)
            found.update(zip(images.image_ids, predicted.tolist(), strict=True))
    return pd.Series([found[image_id] for image_id in ids], pd.Index(ids, name="image_id"), float, "predicted")
