"""Distillation: the student learns what it is taught, by the same steps each time, and only where it may."""

import pytest
import torch

from finetune.distill.order import order
from m3agiqa.errors import InputError
from m3agiqa.mllm.conversation import conversation
from tests import tiny_mllm
from tests.distilled import IMAGES, STEPS, run, same, student
from tests.tiny_mllm import Taught, collator, lora, texts_of, training_batch


def test_loss_falls_and_the_curve_tells_it(whole):
    _, curve = whole
    assert list(curve.columns) == ["step", "epoch", "train_loss", "lr", "val_loss", "val_word_accuracy", "val_srcc"]
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
    """But what learns nothing is computed once, and not gone through backward."""
    folder, curve = whole
    mllm, passes = student(model), []
    network = mllm.model.get_base_model().model
    for name, part in (("text", network.text_model), ("vision", network.vision_model.encoder)):
        layer = part.layers[0].self_attn
        layer.register_forward_hook(lambda *given, name=name: passes.append((name, given[-1][0].requires_grad)))
    mllm.compute_twice()
    again = run(model, tmp_path, mllm)
    assert passes.count(("text", True)) == 2 * STEPS
    assert passes.count(("vision", True)) == 0
    assert passes.count(("vision", False)) == STEPS + passes.count(("text", False))
    assert same(tmp_path, folder)
    assert again.equals(curve)


def test_the_adapter_is_the_epoch_with_the_lowest_val_loss(model, tmp_path):
    """What val says is never taught, so its loss rises, and the adapter scores what its best epoch scored."""
    val = [(image, conversation("quality", "x", "Zq#7 @@" + "W" * i, "poor")) for i, image in enumerate(IMAGES[:4])]
    losses = run(model, tmp_path, val=val, epochs=12, lr=0.1, warmup=0.0).val_loss.dropna().tolist()
    assert losses[-1] > min(losses)
    mllm = student(model, adapter=tmp_path / "adapter")
    with torch.no_grad():
        score = float(mllm.model(**training_batch(mllm, val)).loss)
    assert score == pytest.approx(min(losses), abs=1e-5)


def test_images_in_different_numbers_of_views_make_one_batch(tmp_path):
    """Its loss is the mean over all its tokens, as if each image were alone."""
    folder = tiny_mllm.idefics3(tmp_path / "model")
    chats = [conversation("quality", "x", "It is" + " so" * row + " good.", "good") for row in range(4)]
    val = [(tiny_mllm.picture(row, 64, 64 if row % 2 else 16), chat) for row, chat in enumerate(chats)]
    longest = max(training_batch(student(folder), [one])["input_ids"].shape[1] for one in val[::2])
    mllm = student(folder, max_length=longest, fewer_views=[{"size": {"longest_edge": 32}}])
    batches = collator(mllm)(Taught(val))
    assert [len(batch["labels"]) for batch in batches] == [2, 2]
    (loss,) = run(folder, tmp_path, mllm, train=val, val=val, epochs=1).val_loss.dropna()
    mllm.model.eval()
    alone = [training_batch(mllm, [one]) for one in val]
    tokens = [int((batch["labels"][:, 1:] != -100).sum()) for batch in alone]
    with torch.no_grad():
        losses = [float(mllm.model(**batch).loss) for batch in alone]
    mean = sum(each * count for each, count in zip(losses, tokens, strict=True)) / sum(tokens)
    assert loss == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_that_read_ahead_change_nothing(model, tmp_path, monkeypatch, method):
    """Those of a spawned process are spawned, and on Python 3.14 those of any: what they need must be picklable."""
    before = torch.multiprocessing.get_start_method()
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")  # as some set it: the threads of this do not reach a fork
    student(model).processor.tokenizer(["They are busy before."] * 64)
    torch.multiprocessing.set_start_method(method, force=True)
    try:
        again = run(model, tmp_path / "ahead", epochs=1, workers=1)
    finally:
        torch.multiprocessing.set_start_method(before, force=True)
    curve = run(model, tmp_path / "alone", epochs=1)
    assert same(tmp_path / "ahead", tmp_path / "alone")
    assert again.equals(curve)


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
    assert texts_of(student(model, adapter=None), IMAGES[:4], asked, 12) != ["It is good."] * 4
    distilled = student(model, adapter=tmp_path / "adapter")
    assert texts_of(distilled, IMAGES[:4], asked, 12) == ["It is good."] * 4
    for most, ended in ((12, True), (4, False)):
        written = distilled.answers(distilled.questions(IMAGES[:4], asked, most), most)
        assert [answer.ended for answer in written] == [ended] * 4
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


def test_a_model_that_cannot_compute_twice_says_so(model, monkeypatch):
    mllm = student(model)
    monkeypatch.setattr(type(mllm.model.get_base_model()), "supports_gradient_checkpointing", False)
    with pytest.raises(InputError, match=r"activation_checkpointing: \w+ cannot compute"):
        mllm.compute_twice()
