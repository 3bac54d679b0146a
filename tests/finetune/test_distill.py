import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from transformers import logging

from finetune.distill import training as module
from finetune.distill.order import order
from finetune.distill.training import Conversations, distill
from m3agiqa.errors import InputError
from m3agiqa.mllm import adapters
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.model import LocalMLLM
from pipeline.profiles import Distill
from tests import tiny_mllm
from tests.tiny_mllm import load, lora, picture

logging.disable_progress_bar()

FILES = ("adapter_config.json", "adapter_model.safetensors")
IMAGES = [picture(i).point(lambda value, bright=i % 2: value // 4 + 190 * bright) for i in range(18)]
EXAMPLES = [
    (
        image,
        conversation("quality", f"{i} cubes", "It is" + " very" * (i % 5) + (" bright." if i % 2 else " dark."), word),
    )
    for i, (image, word) in enumerate(zip(IMAGES, ["bad", "good"] * 9, strict=True))
]
TRAIN, VAL = EXAMPLES[:10], EXAMPLES[10:]
STEPS = 8  # 3 epochs × 10 examples in batches of 4


class KillAt:
    """A progress bar under which the process dies by SIGKILL, or the run stops, at step `step`."""

    def __init__(self, step: int, how: str) -> None:
        self.step, self.how = step, how

    def __call__(self, iterable, **_):
        for step in iterable:
            yield step
            if step + 1 == self.step:
                if self.how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise KeyboardInterrupt


def student(model: Path, **settings) -> LocalMLLM:
    mllm = load(model, **settings)
    if "adapter" not in settings:
        mllm.add_lora(lora(r=4, alpha=4, dropout=0.1, modules_to_save=["modality_projection"]), seed=0)
    return mllm


SETTINGS = {"enabled": True, "seed": 0, "epochs": 3, "batch": 4, "lr": 1e-2}
SETTINGS |= {"warmup": 0.1, "weight_decay": 0.1, "beta2": 0.95}


def run(model: Path, folder: Path, mllm: LocalMLLM | None = None, train=TRAIN, val=VAL, **changed):
    """Distill with a logged loss every second step and a checkpoint every fourth."""
    mllm = mllm or student(model)
    settings = Distill(**SETTINGS | {name: value for name, value in changed.items() if name in SETTINGS})
    options = {name: value for name, value in changed.items() if name not in SETTINGS}
    lengths = [len(messages[1]["content"][0]["text"]) for _, messages in train]
    with mock.patch.multiple(module, CHECKPOINTS=2, PER_LOG=2):
        return distill(
            mllm.model,
            Conversations(train, val, lengths, mllm.training_batch),
            settings,
            checkpoints=folder / "checkpoints",
            out=folder / "adapter",
            **options,
        )


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_mllm.smolvlm(tmp_path_factory.mktemp("models") / "smolvlm")


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """An undisturbed run: its folder and its curve."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(model, folder)


def same(folder, whole):
    return all((folder / "adapter" / name).read_bytes() == (whole / "adapter" / name).read_bytes() for name in FILES)


def test_loss_falls_and_the_curve_tells_it(whole):
    _, curve = whole
    assert list(curve.columns) == ["step", "epoch", "train_loss", "lr", "val_loss"]
    assert list(curve.step) == [2, 3, 4, 6, 8]
    assert list(curve.step[curve.val_loss.notna()]) == [3, 6, 8]
    assert curve.epoch.iloc[-1] == 3
    assert curve.train_loss.iloc[-2:].max() < curve.train_loss.iloc[:2].min()
    assert curve.val_loss.dropna().is_monotonic_decreasing
    assert curve.lr.idxmax() == 0  # warm-up is over at step 2
    assert curve.lr.iloc[-1] < 0.1 * curve.lr.max()


def test_two_runs_write_the_same_bytes_and_another_seed_does_not(model, whole, tmp_path):
    folder, curve = whole
    again = run(model, tmp_path / "again")
    assert same(tmp_path / "again", folder)
    assert again.equals(curve)
    run(model, tmp_path / "other", seed=1)
    assert not same(tmp_path / "other", folder)


def test_activations_computed_twice_teach_the_same(model, whole, tmp_path):
    folder, curve = whole
    mllm, passes = student(model), []
    layer = mllm.model.get_base_model().model.text_model.layers[0].self_attn
    layer.register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    again = run(model, tmp_path, mllm, activation_checkpointing=True)
    assert passes.count(True) == 2 * STEPS
    assert same(tmp_path, folder)
    assert again.equals(curve)


def test_a_run_killed_by_sigkill_goes_on(model, whole, tmp_path):
    folder, curve = whole
    code = (
        "from pathlib import Path; from tests.finetune.test_distill import KillAt, run; "
        f"run(Path({str(model)!r}), Path({str(tmp_path)!r}), progress=KillAt(5, 'kill'))"
    )
    dead = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    assert [path.name for path in (tmp_path / "checkpoints").glob("checkpoint-*")] == ["checkpoint-4"]
    assert not (tmp_path / "adapter").exists()
    steps = []
    resumed = run(model, tmp_path, progress=lambda left, **_: steps.extend(left) or iter(left))
    assert steps == list(range(4, STEPS))
    assert same(tmp_path, folder)
    assert resumed.equals(curve)


@pytest.mark.parametrize("stops", [(1,), (3, 4), (7, 8)])
def test_a_run_stopped_anywhere_goes_on(model, whole, tmp_path, stops):
    folder, curve = whole
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            run(model, tmp_path, progress=KillAt(stop, "stop"))
    assert run(model, tmp_path).equals(curve)
    assert same(tmp_path, folder)


@pytest.mark.parametrize("left", ["nothing but a folder", "everything but the marker"])
def test_a_half_written_checkpoint_is_not_used(model, whole, tmp_path, left):
    folder, curve = whole
    with pytest.raises(KeyboardInterrupt):
        run(model, tmp_path, progress=KillAt(6, "stop"))
    (newest,) = (tmp_path / "checkpoints").glob("checkpoint-*")
    (newest / "complete").unlink()
    if left == "nothing but a folder":
        for path in newest.iterdir():
            path.unlink()
    steps = []
    resumed = run(model, tmp_path, progress=lambda todo, **_: steps.extend(todo) or iter(todo))
    assert steps == list(range(STEPS))
    assert same(tmp_path, folder)
    assert resumed.equals(curve)


def test_a_finished_run_is_not_trained_again(model, whole):
    folder, curve = whole
    before = [(folder / "adapter" / name).read_bytes() for name in FILES]
    steps = []
    assert run(model, folder, progress=lambda left, **_: steps.extend(left) or iter(left)).equals(curve)
    assert not steps
    assert before == [(folder / "adapter" / name).read_bytes() for name in FILES]


def test_the_adapter_is_the_epoch_with_the_lowest_val_loss(model, tmp_path):
    """What val says is never taught, so its loss rises, and the adapter scores what its best epoch scored."""
    val = [(image, conversation("quality", "x", "Zq#7 @@" + "W" * i, "poor")) for i, image in enumerate(IMAGES[:4])]
    losses = run(model, tmp_path, val=val, epochs=12, lr=0.03, warmup=0.0).val_loss.dropna().tolist()
    assert losses[-1] > min(losses)
    mllm = student(model, adapter=tmp_path / "adapter")
    with torch.no_grad():
        score = float(mllm.model(**mllm.training_batch(val)).loss)
    assert score == pytest.approx(min(losses), abs=1e-5)


def test_only_lora_and_the_modules_to_save_move(model, tmp_path):
    mllm = student(model)
    before = {name: value.clone() for name, value in mllm.model.state_dict().items()}
    run(model, tmp_path, mllm, epochs=1)
    for name, value in mllm.model.state_dict().items():
        moved = "lora_" in name or "modules_to_save" in name
        assert torch.equal(value, before[name]) is not moved, name


def test_the_distilled_student_says_what_it_was_taught(model, tmp_path):
    mllm = student(model, adapter=None)
    mllm.add_lora(lora(r=8, alpha=16, targets=r".*text_model.*_proj"), seed=0)
    taught = [
        (image, conversation("quality", f"{i} cubes", "It is good.", "good")) for i, image in enumerate(IMAGES[:4])
    ]
    run(model, tmp_path, mllm, train=taught * 20, val=taught, epochs=1, lr=3e-2, weight_decay=0.0)
    asked = [messages[:1] for _, messages in taught]
    assert student(model, adapter=None).describe(IMAGES[:4], asked, 12) != ["It is good."] * 4
    distilled = student(model, adapter=tmp_path / "adapter")
    assert distilled.describe(IMAGES[:4], asked, 12) == ["It is good."] * 4
    readings = distilled.read(IMAGES[:4], [messages[:3] for _, messages in taught])
    assert [reading.word for reading in readings] == ["good"] * 4


def test_bfloat16_trains_too(model, tmp_path):
    mllm = student(model, dtype="bfloat16")
    curve = run(model, tmp_path, mllm)
    assert curve.val_loss.dropna().is_monotonic_decreasing


def test_a_run_that_diverges_says_so(model, tmp_path, monkeypatch):
    mllm = student(model)
    with torch.no_grad():
        next(p for p in mllm.model.parameters() if p.requires_grad).fill_(float("nan"))
    with pytest.raises(InputError, match=r"diverged: val loss nan at step 3"):
        run(model, tmp_path, mllm)
    assert not (tmp_path / "adapter").exists()


def test_order_shows_every_example_once_an_epoch_in_batches_of_like_length():
    lengths = [(7 * i) % 100 for i in range(101)]
    drawn = order(lengths, 3, 8, seed=0)
    assert sorted(drawn) == sorted([*range(101)] * 3)
    assert drawn == order(lengths, 3, 8, seed=0)
    assert drawn != order(lengths, 3, 8, seed=1)

    def padding(indices):
        batches = [[lengths[i] for i in indices[at : at + 8]] for at in range(0, len(indices), 8)]
        return sum(max(batch) * len(batch) - sum(batch) for batch in batches)

    assert padding(drawn) < 0.3 * padding(list(range(101)) * 3)


def test_an_adapter_is_written_whole_or_not_at_all(model, tmp_path, monkeypatch):
    mllm = student(model)
    monkeypatch.setattr(adapters, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        adapters.save(mllm.model, tmp_path / "adapter")
    with pytest.raises(InputError, match=r"adapter_config.json missing"):
        student(model, adapter=tmp_path / "adapter")
