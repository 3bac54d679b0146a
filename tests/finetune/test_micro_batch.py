"""A few images at a time, because memory holds no more: the same steps as with all images of a batch at once."""

import pytest
import torch
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tests.distilled import STEPS, KillAt, run, same, student
from tests.tiny_mllm import load, lora

BATCH = 4  # tests/distilled.py's; 30 examples, so that two are left for the last


def plain(model):
    """A student without dropout, which draws otherwise for other sizes; LoRA's second matrix is zero no more."""
    mllm = load(model)
    mllm.add_lora(lora(r=4, alpha=4), seed=0)
    draw = torch.Generator().manual_seed(0)
    for name, weight in mllm.model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.1, generator=draw)
    return mllm


@pytest.fixture
def steps():
    """The gradients of each step of the runs, as the optimizer gets them."""
    found = []

    def keep(optimizer, *_):
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        found.append([weight.grad.clone() for weight in weights])

    hook = register_optimizer_step_pre_hook(keep)
    yield found
    hook.remove()


@pytest.mark.parametrize("few", [1, 3])
def test_gradients_are_those_of_the_whole_batch(model, tmp_path, steps, few):
    """Of answers of different length: each token counts as much, whichever images it is learned with."""
    hardly = {"lr": 1e-12}  # so that each step is made from the same weights
    whole = run(model, tmp_path / "whole", plain(model), **hardly)
    parts = run(model, tmp_path / "parts", plain(model), **hardly, micro_batch=few)
    assert len(steps) == 2 * STEPS
    for ours, theirs in zip(steps[STEPS:], steps[:STEPS], strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert other.any()
            torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    for column in ("train_loss", "val_loss"):
        assert parts[column].tolist() == pytest.approx(whole[column].tolist(), rel=1e-6, nan_ok=True)


def test_a_whole_run_ends_in_the_same_adapter(model, tmp_path):
    whole = run(model, tmp_path / "whole", plain(model), lr=1e-4)
    parts = run(model, tmp_path / "parts", plain(model), lr=1e-4, micro_batch=3)
    ours, theirs = (load_file(tmp_path / name / "adapter/adapter_model.safetensors") for name in ("parts", "whole"))
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], atol=1e-6, rtol=0)
    assert parts.val_loss.tolist() == pytest.approx(whole.val_loss.tolist(), rel=1e-6, nan_ok=True)


def test_no_more_images_go_through_the_model_at_once(model, tmp_path):
    mllm, sizes = plain(model), {True: [], False: []}
    layer = mllm.model.get_base_model().model.text_model
    layer.register_forward_hook(lambda _, __, out: sizes[torch.is_grad_enabled()].append(len(out[0])))
    run(model, tmp_path, mllm, micro_batch=3)
    assert sizes[True].count(3) == STEPS - 1  # a batch of four is three and one
    assert sizes[True].count(1) == STEPS - 1
    assert sizes[True].count(2) == 1
    assert max(sizes[False]) == 3  # val, too


def test_as_many_as_a_batch_are_the_batch(model, whole, tmp_path):
    """With dropout, too: the bytes of a run that was told nothing."""
    folder, curve = whole
    assert run(model, tmp_path, micro_batch=2 * BATCH).equals(curve)
    assert same(tmp_path, folder)


def test_stopped_within_an_epoch_it_goes_on(model, tmp_path):
    """Dropout included: it draws on where it was."""
    whole = run(model, tmp_path / "whole", student(model), micro_batch=3)
    with pytest.raises(KeyboardInterrupt):
        run(model, tmp_path / "stopped", student(model), micro_batch=3, progress=KillAt(5, "stop"))
    again = run(model, tmp_path / "stopped", student(model), micro_batch=3)
    assert again.equals(whole)
    assert same(tmp_path / "stopped", tmp_path / "whole")


def test_a_run_that_ran_out_of_memory_goes_on_with_fewer_at_once(model, tmp_path):
    """What it had is not lost: the checkpoints are of the same steps."""
    whole = run(model, tmp_path / "whole", plain(model), lr=1e-4)
    with pytest.raises(KeyboardInterrupt):
        run(model, tmp_path / "stopped", plain(model), lr=1e-4, progress=KillAt(5, "stop"))
    left = []
    curve = run(
        model,
        tmp_path / "stopped",
        plain(model),
        lr=1e-4,
        micro_batch=1,
        progress=lambda steps, **_: left.extend(steps) or iter(steps),
    )
    assert left == list(range(4, STEPS))
    assert curve.val_loss.tolist() == pytest.approx(whole.val_loss.tolist(), rel=1e-6, nan_ok=True)
