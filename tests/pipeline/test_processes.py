"""distill, describe and features in two processes write what one writes: on a CPU (gloo), or on two GPUs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file
from transformers import logging

from data.feature_store.said import read_said
from data.feature_store.store import FeatureStore
from data.feature_store.writer import SHARD_IMAGES
from m3agiqa.files import read_json
from pipeline import paths, processes
from stages import describe, distill, features
from tests import forks, tiny_mllm
from tests.few_images import project

logging.disable_progress_bar()

ROOT = Path(__file__).parents[2]
ACCELERATE = ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"]
ACCELERATE += ["--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0", "-m"]
IMAGES = SHARD_IMAGES + 4  # two parts of a feature store
LORA = {"r": 4, "alpha": 8, "dropout": 0.0, "targets": r".*text_model.*_proj", "modules_to_save": []}
TWO_GPUS = [
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="no two GPUs here"),
    pytest.mark.filterwarnings("ignore"),  # of another torch, whose versions a borrowed machine has
]


class Way(NamedTuple):
    """How the stages run."""

    device: str = "cpu"
    saved: tuple[str, ...] = ()  # modules that are trained in full
    twice: bool = False  # whether activations are computed twice
    near: float = 1e-5  # how far apart losses and weights may be


ON_TWO = Way(device="cuda", near=1e-4)
TWICE = ON_TWO._replace(saved=("modality_projection",), twice=True)
WAYS = [
    pytest.param(Way(), id="cpu"),
    pytest.param(ON_TWO, id="two-GPUs", marks=TWO_GPUS),
    pytest.param(TWICE, id="two-GPUs-twice-and-saved", marks=TWO_GPUS),
]


@pytest.fixture
def run(way, request, monkeypatch):
    """On a CPU, processes are forks: torch alone takes seconds to import."""
    python = Path(sys.executable)
    if way.device == "cpu":
        python = request.getfixturevalue("programs") / "python"
        monkeypatch.setattr(torch.multiprocessing, "spawn", forks.spawn)

    def run(*arguments: str) -> str:
        command = [python, "-m", *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stderr

    return run


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def chosen(way, tmp_path, monkeypatch):
    """Settings for two processes, in params.yaml too; batches of three, so that shares are unequal.

    Three of four images fit in fewer views alone, so that batches are taken apart. The two learn from one image at a
    time, the one process from all of a batch.
    """
    monkeypatch.chdir(tmp_path)
    for name, value in (
        ("DVC_ROOT", str(tmp_path)),
        ("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path])),
        ("OMP_NUM_THREADS", "1"),
    ):
        monkeypatch.setenv(name, value)
    folder = tiny_mllm.idefics3(tmp_path / "model")
    profile = {"model": str(folder), "revision": None, "dtype": "float32", "max_length": 205, "max_new_tokens": 8}
    chosen = project(
        profile | {"fewer_views": [{"size": {"longest_edge": 32}}], "lora": LORA | {"modules_to_save": way.saved}},
        IMAGES,
    )
    values = chosen.model_dump(mode="json")
    values["mllms"]["tried"]["recipe"] |= {"epochs": 2, "batch": 3}
    values["runtime"] |= {"batch": 16, "device": way.device, "launcher": {"processes": 2}, "micro_batch": 1}
    values["runtime"]["activation_checkpointing"] = way.twice
    YAML().dump(values, tmp_path / "params.yaml")
    values["runtime"]["micro_batch"] = None
    return type(chosen).model_validate(values)


def adapter(chosen):
    return load_file(paths.adapter(chosen.dataset, chosen.aspect) / "adapter_model.safetensors")


def test_two_processes_write_what_one_writes(chosen, way, run):
    curve, described = Path("results/training/distill.csv"), paths.descriptions(chosen.dataset, chosen.aspect)
    cached = paths.features(chosen.dataset, chosen.aspect)
    distill.main(chosen)
    alone, losses = adapter(chosen), pd.read_csv(curve)
    shutil.rmtree(".cache")

    run(*ACCELERATE, "stages.distill")
    together = adapter(chosen)
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        torch.testing.assert_close(value, together[name], atol=way.near, rtol=10 * way.near)
    pd.testing.assert_frame_equal(pd.read_csv(curve), losses, atol=way.near, rtol=way.near)
    assert len(losses) == 4  # ten examples in batches of three: in the last one a process has no row

    report = read_json(paths.adapter(chosen.dataset, chosen.aspect) / "distill.json")
    assert report["shortened"] == {"train": 0, "val": 0}
    assert (report["made_on"]["batch"], report["made_on"]["micro_batch"]) == (3, 1)

    describe.main(chosen)  # from here on bit for bit: the batches are the same
    features.main(chosen)
    assert set(read_said(described, cached)["fewer_views"]) == {True, False}
    bytes_alone = {path.name: path.read_bytes() for path in [described, *cached.iterdir()]}
    assert len(FeatureStore.open(cached)) == IMAGES
    (journal,) = Path(".cache/describe").glob("*/journal.jsonl")
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:1]))  # as a kill leaves them
    for part in Path(".cache/features").glob("*/part-*.parquet"):
        part.unlink()
    described.unlink()
    shutil.rmtree(cached)

    assert "describe: 0/2 batches" in run("stages.describe")  # the first process's half of the four that are left
    processes.launch("stages.features", 2)
    assert {path.name: path.read_bytes() for path in [described, *cached.iterdir()]} == bytes_alone
    assert len(list(journal.parent.glob("journal*.jsonl"))) == 2
