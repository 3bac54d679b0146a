"""Steps of distill on a GPU: run this file by hand on a machine that has one. Elsewhere it is skipped.

A GPU is given sequences without a mask, and nothing of ours waits for it.
"""

import warnings
from pathlib import Path

import pytest
import torch

from finetune.distill.trainer import ShareTrainer
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.profile import Profile
from tests import tiny_minicpm, tiny_mllm
from tests.distilled import run

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.filterwarnings("ignore"),  # of another torch, whose versions a borrowed machine has
]


def distilled(model, folder, device):
    """The losses, of val too."""
    profile = Profile(model=str(model), dtype="float32", max_length=256, max_new_tokens=8)
    mllm = LocalMLLM.load(profile, device=device)
    mllm.add_lora(tiny_mllm.lora(), seed=0)
    return torch.tensor(run(model, folder, mllm)[["train_loss", "val_loss"]].to_numpy())


@pytest.mark.parametrize(
    "model", [tiny_minicpm.minicpm, tiny_mllm.qwen3_vl, tiny_mllm.minicpm_v_4_6, tiny_mllm.smolvlm]
)
def test_it_learns_what_a_cpu_learns(model, tmp_path):
    folder = model(tmp_path / "model")
    there, here = (distilled(folder, tmp_path / device, device) for device in ("cuda", "cpu"))
    torch.testing.assert_close(there, here, atol=1e-3, rtol=1e-3, equal_nan=True)


def test_a_step_of_minicpm_waits_for_nothing_of_ours(tmp_path, monkeypatch):
    """Transformers waits once, to see whether sequences are packed; its own models look at their images' sizes, too."""
    step, waits = ShareTrainer.training_step, []

    def watched(*given, **named):
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            try:
                return step(*given, **named)
            finally:
                torch.cuda.set_sync_debug_mode("default")
                waits.append([Path(wait.filename).name for wait in found if "synchronizing" in str(wait.message)])

    monkeypatch.setattr(ShareTrainer, "training_step", watched)
    distilled(tiny_minicpm.minicpm(tmp_path / "model"), tmp_path / "run", "cuda")
    assert waits == 8 * [["masking_utils.py"]]
