"""MiniCPM-Llama3-V-2.5 against itself: batches, caches, beams. Against what is published: test_minicpm_reference.py."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from transformers import GenerationConfig

from m3agiqa.mllm.conversation import conversation
from tests import tiny_minicpm
from tests.tiny_mllm import load, picture

# One view; four slices; a wide one, whose slices differ from the whole in length; a long one.
IMAGES = [picture(1, 16, 16), picture(2, 40, 24), picture(3, 64, 12), picture(4, 14, 50)]
CHATS = [conversation("quality", prompt, "Sharp.") for prompt in ("a cat", "", "two blue balls", "кот")]


@pytest.fixture(scope="module")
def mllm(tmp_path_factory):
    folder = tiny_minicpm.minicpm(tmp_path_factory.mktemp("models") / "minicpm")
    return load(folder, max_length=400)


def inputs(mllm, images=IMAGES, chats=CHATS, side="right"):
    return mllm._chat.tensors(images, chats, padding_side=side, answer=True)


def test_a_batch_is_what_its_images_are_alone(mllm):
    batch = inputs(mllm)
    assert not batch["patch_attention_mask"].all()
    names = ("pixel_values", "tgt_sizes", "patch_attention_mask")
    with torch.no_grad():
        together = mllm.model.image_vectors(**{name: batch[name] for name in names})
        logits = mllm.model(**batch).logits
        start = 0
        for row, (image, chat) in enumerate(zip(IMAGES, CHATS, strict=True)):
            alone = inputs(mllm, [image], [chat])
            vectors = mllm.model.image_vectors(**{name: alone[name] for name in names if name in alone})
            torch.testing.assert_close(together[start : start + len(vectors)], vectors, atol=1e-4, rtol=1e-4)
            start += len(vectors)
            length = alone["input_ids"].shape[1]
            torch.testing.assert_close(logits[row, :length], mllm.model(**alone).logits[0], atol=1e-4, rtol=1e-4)


def test_other_kinds_of_attention_give_the_same(mllm):
    batch = inputs(mllm)
    with torch.no_grad():
        states = mllm.model.base_model(**batch, use_cache=False).last_hidden_state
        mllm.model.set_attn_implementation("eager")
        assert mllm.model.vpm.config._attn_implementation == "eager"
        eager = mllm.model.base_model(**batch, use_cache=False).last_hidden_state
        mllm.model.set_attn_implementation("sdpa")
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(states[real], eager[real], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_generation_with_a_cache_is_greedy_search_without(mllm, cache):
    batch = inputs(mllm, side="left")
    settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    tokens = mllm.model.generate(**batch, **settings, use_cache=True, cache_implementation=cache)
    with torch.no_grad():
        grown = dict(batch)
        for _ in range(8):
            following = mllm.model(**grown, use_cache=False).logits[:, -1].argmax(dim=-1, keepdim=True)
            grown["input_ids"] = torch.cat([grown["input_ids"], following], dim=1)
            grown["attention_mask"] = torch.ones_like(grown["input_ids"])
            grown["attention_mask"][:, : batch["input_ids"].shape[1]] = batch["attention_mask"]
            grown["position_ids"] = (grown["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
    assert torch.equal(tokens, grown["input_ids"])
    assert torch.equal(tokens, mllm.model.generate(**batch, **settings, use_cache=False))


def test_beams_see_their_own_images(mllm):
    settings = GenerationConfig(max_new_tokens=6, num_beams=3, do_sample=False, pad_token_id=0, eos_token_id=505)
    batch = inputs(mllm, side="left")
    together = mllm.model.generate(**batch, generation_config=settings)[:, batch["input_ids"].shape[1] :]
    for row, (image, chat) in enumerate(zip(IMAGES, CHATS, strict=True)):
        alone = inputs(mllm, [image], [chat], side="left")
        found = mllm.model.generate(**alone, generation_config=settings)[0, alone["input_ids"].shape[1] :]
        assert torch.equal(together[row, : len(found)], found)


def test_the_forward_pass_waits_for_no_number_from_the_device(mllm):
    """Under fake tensors there are no numbers to ask for: a hidden .item() or .all() raises."""
    batch = inputs(mllm)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        weights = {name: mode.from_tensor(weight.detach()) for name, weight in mllm.model.named_parameters()}
        # Without a mask of the tokens: transformers asks one whether anything is masked, if it can.
        fake = {name: mode.from_tensor(tensor) for name, tensor in batch.items() if name != "attention_mask"}
        logits = functional_call(mllm.model, weights, kwargs={**fake, "use_cache": False}).logits
    assert logits.shape == (*batch["input_ids"].shape, mllm.model.config.vocab_size)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_no_gradient(reentrant):
    gradients = []
    for checkpointing in (False, True):
        network = tiny_minicpm.model().train()
        if checkpointing:
            network.activation_checkpointing_enable({"use_reentrant": reentrant})
            assert network.llm.model.gradient_checkpointing
            assert network.vpm.encoder.gradient_checkpointing
        pixels = torch.rand(2, 3, 4, 64, generator=torch.Generator().manual_seed(0))
        start, end = network.config.image_start_id, network.config.image_end_id
        ids = torch.tensor([[500, start, 502, 502, 502, end, 7], [500, start, 502, 502, 502, end, 9]])
        network(ids, pixels, torch.tensor([[4, 4], [3, 5]]), labels=ids, use_cache=False).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    assert all(gradient is not None for gradient in gradients[0].values())
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradient, gradients[0][name], msg=name)


def test_the_loss_is_the_next_token_s(mllm):
    batch = inputs(mllm)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    with torch.no_grad():
        outputs = mllm.model(**batch, labels=labels)
        last = mllm.model(**batch, logits_to_keep=torch.tensor([3, 5])).logits
    expected = torch.nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(outputs.loss, expected)
    torch.testing.assert_close(last, outputs.logits[:, [3, 5]])
