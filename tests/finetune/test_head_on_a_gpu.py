"""A head trained on a GPU: run this file by hand on a machine that has one. Elsewhere it is skipped."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from data.feature_store.shuffle import Shuffle
from finetune.heads import examples
from finetune.heads.examples import Examples
from finetune.heads.training import train_head
from m3agiqa.head.model import build_head
from pipeline.settings import PARAMS, load
from tests.stored import random_store

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.filterwarnings("ignore"),  # of another torch, whose versions a borrowed machine has
]
SETTINGS = load(Path(__file__).parents[2] / PARAMS).train.model_copy(
    update={"epochs": 4, "batch": 8, "lr": 3e-3, "seed": 3}
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return random_store(tmp_path_factory.mktemp("store"), [30 + number % 70 for number in range(96)], 16)


def table(store):
    return pd.DataFrame({"image_id": store.ids, "mos": [float(store[name][:, 0].mean()) for name in store.ids]})


def trained(store, device, dropout=0.0, **options):
    head = build_head("xlstm", 16, seed=0, dim=16, blocks=2, heads=2, hidden=8, dropout=dropout)
    head.shortcut[0].p = dropout  # a GPU draws other numbers
    found = table(store)
    return train_head(head, store, found[:72], found[72:], SETTINGS, device=device, **options)


def test_it_learns_what_a_cpu_learns(store):
    there, here = trained(store, "cuda"), trained(store, "cpu")
    np.testing.assert_allclose(there.history, here.history, rtol=1e-3, atol=1e-4)
    for name, value in there.weights.items():
        torch.testing.assert_close(value, here.weights[name], rtol=1e-2, atol=1e-3)


def test_states_that_do_not_fit_are_read_again_with_the_same_result(store, monkeypatch):
    held = trained(store, "cuda", dropout=0.3)
    assert Examples(store, dict.fromkeys(store.ids, 1.0), "cuda")._held is not None
    monkeypatch.setattr(examples, "ROOM", 0.0)
    assert Examples(store, dict.fromkeys(store.ids, 1.0), "cuda")._held is None
    read = trained(store, "cuda", dropout=0.3)
    pd.testing.assert_frame_equal(read.history, held.history, rtol=1e-4)


def test_a_resumed_run_goes_on_where_it_was(store, tmp_path):
    def killed(epochs, **_):
        for epoch in epochs:
            if epoch > 2:
                raise KeyboardInterrupt
            yield epoch

    whole = trained(store, "cuda", dropout=0.3)
    with pytest.raises(KeyboardInterrupt):
        trained(store, "cuda", dropout=0.3, checkpoints=tmp_path, progress=killed)
    resumed = trained(store, "cuda", dropout=0.3, checkpoints=tmp_path)
    pd.testing.assert_frame_equal(resumed.history, whole.history, rtol=1e-4)


def test_no_step_waits_for_the_gpu(store):
    """After the first epoch, in which kernels are compiled: CUDA would raise at a copy to the host or a comparison."""
    found = Examples(store, dict(table(store).to_numpy()), "cuda")
    head = build_head("xlstm", 16, seed=0, dim=16, blocks=2, heads=2, hidden=8).to("cuda").train()
    for warned in (False, True):
        for step in found.batches(8, Shuffle(0), share=0.5):
            torch.cuda.set_sync_debug_mode("error" if warned else "default")
            head.score(step.states, step.mask, step.moments).sum().backward()
            torch.cuda.set_sync_debug_mode("default")
