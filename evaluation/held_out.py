"""What a head makes of the images that it did not learn from.

The test images' scores, and how far these can be trusted, of an image and of a pair of images: the validation images
tell that, and the test images whether it was so.
"""

from typing import Any, NamedTuple, Self

import pandas as pd

from data.feature_store.store import FeatureStore
from data.splitting.prompts import prompt_groups, prompts_of
from evaluation import conformal, preference
from evaluation.metrics import Floats
from evaluation.predictions import predict
from m3agiqa.head.model import Head
from m3agiqa.progress import Progress


class Images(NamedTuple):
    """Some images with their hidden states."""

    store: FeatureStore
    table: pd.DataFrame  # image_id, prompt, mos, and pixels where pictures are told apart

    def without_descriptions(self) -> Self:
        """As a judge sees them that writes none."""
        return self._replace(store=self.store.without_descriptions())


class HeldOut(NamedTuple):
    """The test images' scores, and how far they can be trusted."""

    predicted: Floats  # (n,), in the order of the test table
    interval: dict[str, Any]  # evaluation/conformal.py
    preference: dict[str, Any]  # evaluation/preference.py: the spread, and what it is worth on test pairs


def held_out(head: Head, val: Images, test: Images, *, device: str, progress: Progress) -> HeldOut:
    """Score both, and learn from `val` how sure that is."""
    known = predict(head, val.store, list(val.table["image_id"]), device=device).to_numpy()
    found = predict(head, test.store, list(test.table["image_id"]), device=device, progress=progress).to_numpy()
    mos, new_mos = val.table["mos"], test.table["mos"]
    pairs = preference.pairs_of(known, mos, prompts_of(val.table))
    spread = preference.spread_of(pairs)
    on_test = preference.judged(preference.pairs_of(found, new_mos, prompts_of(test.table)), spread)
    return HeldOut(
        found,
        conformal.interval(known, mos, prompt_groups(val.table), found, new_mos),
        {"spread": spread, "within_prompts": pairs.within_prompts, "on_test": on_test},
    )
