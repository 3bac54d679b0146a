"""A GPU reads and learns from right-padded sequences without a mask: what is no padding is the same, to rounding."""

import torch

from finetune.distill.trainer import LEARNED
from m3agiqa.mllm import gpu
from m3agiqa.mllm.conversation import conversation
from tests.tiny_mllm import picture, training_batch

GPU = torch.device("cuda")  # asked what it would be given; none is needed
IMAGES = [picture(1), picture(2, 40, 24), picture(3, 64, 64)]
TEXTS = [
    ("a red cube", "Sharp."),
    ("", "Soft edges. Dull colours. A blue ball lies behind it."),
    ("two blue balls", ""),
]
WHOLE = [conversation("quality", prompt, text, "good") for prompt, text in TEXTS]


def test_only_a_gpu_and_only_the_mask():
    tensors = {"input_ids": torch.ones(1, 2), "attention_mask": torch.ones(1, 2)}
    assert gpu.without_mask(tensors, GPU).keys() == {"input_ids"}
    assert gpu.without_mask(tensors, torch.device("cpu")) == tensors


def test_states_and_logits_are_those_of_masked_sequences(mllm):
    learned = training_batch(mllm, list(zip(IMAGES, WHOLE, strict=True)))
    batch = {name: tensor for name, tensor in learned.items() if name not in LEARNED}
    real = batch["attention_mask"].bool()
    assert len(set(real.sum(dim=1).tolist())) > 1
    with torch.no_grad():
        with_mask, without = (mllm.model(**given) for given in (batch, gpu.without_mask(batch, GPU)))
    torch.testing.assert_close(without.logits[real], with_mask.logits[real], atol=1e-5, rtol=1e-5)


def test_readings_are_those_of_masked_sequences(mllm, monkeypatch):
    asked = [conversation("quality", *texts) for texts in TEXTS]
    masked = mllm.read_inputs(mllm.inputs(IMAGES, asked), vision=True)
    without_mask = gpu.without_mask
    monkeypatch.setattr(gpu, "without_mask", lambda tensors, _: without_mask(tensors, GPU))
    for one, other in zip(mllm.read_inputs(mllm.inputs(IMAGES, asked), vision=True), masked, strict=True):
        assert one.word == other.word
        torch.testing.assert_close(one.states, other.states, atol=1e-5, rtol=1e-5)
