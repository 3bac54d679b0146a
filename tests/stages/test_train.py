"""train on a made-up data set: what it leaves, and what it takes away."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from data.feature_store.store import FeatureStore
from m3agiqa.head.model import load_head
from pipeline import paths
from pipeline.unfinished import unfinished
from stages import train, train_fast
from tests.evaluated import build


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Two epochs; the features' parts lie in .cache too, as the stage that wrote them left them."""
    monkeypatch.chdir(tmp_path)
    chosen = build()
    store = paths.features(chosen.dataset, chosen.aspect)
    with unfinished("features", FeatureStore.open(store).fingerprint) as scratch:
        for part in store.iterdir():
            (scratch.path / part.name).write_bytes(part.read_bytes())
    return chosen.model_copy(update={"train": chosen.train.model_copy(update={"epochs": 2})})


def copies() -> list[Path]:
    return list(Path(".cache/features").rglob("*.parquet"))


def test_the_features_are_kept_once_when_the_head_is_trained_from_them(settings):
    assert copies()
    train.main(settings)
    assert not copies()
    assert load_head(paths.head(settings.dataset, settings.aspect)).mos_mean == pytest.approx(2.5, abs=0.5)
    assert len(pd.read_csv("results/training/head.csv")) == 2


def test_the_fast_head_reads_the_same_states_up_to_the_description(settings):
    train.main(settings)
    train_fast.main(settings)
    whole, fast = (load_head(of(settings.dataset, settings.aspect)) for of in (paths.head, paths.fast_head))
    assert whole.recipe == fast.recipe
    states = FeatureStore.open(paths.features(settings.dataset, settings.aspect))
    train_ids = [f"i{row:03d}" for row in range(96) if row // 4 % 4 < 2]
    seen = torch.cat([states[image_id][: states.description(image_id).start] for image_id in train_ids])
    assert torch.allclose(fast.token_mean, seen.float().mean(dim=0), atol=1e-5)
    assert not torch.allclose(whole.token_mean, fast.token_mean, atol=1e-3)
    assert len(pd.read_csv("results/training/fast_head.csv")) == 2


def test_parts_that_another_run_is_at_stay(settings):
    made_from = FeatureStore.open(paths.features(settings.dataset, settings.aspect)).fingerprint
    with unfinished("features", made_from):
        train.main(settings)
        assert copies()
