"""The lines that only a GPU runs, on one: run this file by hand on a machine that has one. Elsewhere it is skipped.

Memory that a GPU fetches by itself, events, kernels that inductor writes, CUDA graphs; numbers as on a CPU.
"""

import pytest
import torch

from m3agiqa.ahead import DECODERS, ahead
from m3agiqa.head.batch import Batch
from m3agiqa.mllm import adapters, gpu
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.packed import PACKED, attentions
from m3agiqa.mllm.profile import Profile
from m3agiqa.spans import Span
from tests import tiny_minicpm, tiny_mllm
from tests.tiny_mllm import picture, texts_of

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.filterwarnings("ignore"),  # of another torch, whose versions a borrowed machine has
]
IMAGES = [picture(1), picture(2, 40, 24), picture(3, 64, 64)]
ASK = [conversation("quality", prompt) for prompt in ("a red cube", "", "two blue balls")]
WHOLE = [conversation("quality", prompt, "Sharp.") for prompt in ("a red cube", "", "two blue balls")]
NEAR = {"atol": 1e-3, "rtol": 1e-3}


def load(folder, device, adapter=None, dtype="float32"):
    profile = Profile(model=str(folder), dtype=dtype, max_length=256, max_new_tokens=8)
    return LocalMLLM.load(profile, device=device, adapter=adapter)


@pytest.fixture(params=[tiny_minicpm.minicpm, tiny_mllm.minicpm_v_4_6, tiny_mllm.qwen3_vl, tiny_mllm.smolvlm])
def folder(request, tmp_path):
    return request.param(tmp_path / "model")


def test_what_it_reads_and_says_is_what_a_cpu_does(folder):
    there, here = load(folder, "cuda"), load(folder, "cpu")
    assert there.graph is None
    assert texts_of(there, IMAGES, ASK, 8) == texts_of(here, IMAGES, ASK, 8)
    seen = [each.read_inputs(each.inputs(IMAGES, WHOLE), vision=True) for each in (there, here)]
    for one, other in zip(*seen, strict=True):
        assert one.states.device.type == "cpu"
        assert one.word == other.word
        torch.testing.assert_close(one.states, other.states, **NEAR)
        torch.testing.assert_close(one.vision, other.vision, **NEAR)
    for one, other in zip(*(each.look(each.inputs(IMAGES, ASK)) for each in (there, here)), strict=True):
        assert one.device.type == "cpu"
        torch.testing.assert_close(one, other, **NEAR)
    same_length = [picture(4), picture(5)], [WHOLE[0], WHOLE[0]]  # read without a mask
    for one, other in zip(there.read(*same_length), here.read(*same_length), strict=True):
        torch.testing.assert_close(one.states, other.states, **NEAR)


def test_a_large_one_is_compiled_and_says_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "LARGE", 1)
    folder = tiny_minicpm.minicpm(tmp_path / "model")
    there, here = load(folder, "cuda"), load(folder, "cpu")
    assert there.graph is not None
    assert here.graph is None
    for rows in (3, 2):
        assert texts_of(there, IMAGES[:rows], ASK[:rows], 8) == texts_of(here, IMAGES[:rows], ASK[:rows], 8)
    there.compile()
    assert any(module._compiled_call_impl is not None for module in there.model.modules())
    for one, other in zip(there.read(IMAGES, WHOLE), here.read(IMAGES, WHOLE), strict=True):
        torch.testing.assert_close(one.states, other.states, **NEAR)


@pytest.mark.parametrize("model", [tiny_mllm.minicpm_v_4_6, tiny_mllm.qwen3_vl])
def test_views_in_a_row_attended_to_at_once_are_seen_as_each_alone(model, tmp_path, monkeypatch):
    folder = model(tmp_path / "model")
    alone = load(folder, "cuda", dtype="bfloat16")
    monkeypatch.setattr(gpu, "LARGE", 1)
    at_once = load(folder, "cuda", dtype="bfloat16")
    assert {each.config._attn_implementation for each in attentions(at_once.model)} == {PACKED}
    for _ in ("as it comes", "compiled"):
        for one, other in zip(*(each.read(IMAGES, WHOLE) for each in (at_once, alone)), strict=True):
            off = (one.states - other.states).float().norm() / other.states.float().norm()
            print(f"{model.__name__}: off by {off:.2g}")
            assert off < 0.02
        at_once.compile()


@pytest.mark.parametrize("large", [1, gpu.LARGE])
def test_adapters_on_one_model_act_as_they_do_alone(tmp_path, monkeypatch, large):
    """Each step's graph belongs to the adapter that it was made with."""
    monkeypatch.setattr(gpu, "LARGE", large)
    folder = tiny_mllm.smolvlm(tmp_path / "model")
    adapted = {"none": None}
    for seed, name in enumerate(("one", "two")):
        fresh = load(folder, "cpu")
        fresh.add_lora(tiny_mllm.lora(alpha=4), seed=seed)
        for weight in fresh.model.parameters():
            if weight.requires_grad:
                weight.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(seed))
        adapters.save(fresh.model, tmp_path / name)
        adapted[name] = tmp_path / name
    base = load(folder, "cuda")
    assert (base.graph is not None) == (large == 1)
    shared = {name: base.sharing(name, adapter) for name, adapter in adapted.items()}
    for name in (*adapted, *reversed(adapted)):
        alone = load(folder, "cpu", adapted[name])
        assert texts_of(shared[name], IMAGES, ASK, 8) == texts_of(alone, IMAGES, ASK, 8)
        for one, other in zip(shared[name].read(IMAGES, WHOLE), alone.read(IMAGES, WHOLE), strict=True):
            torch.testing.assert_close(one.states, other.states, **NEAR)


def test_inputs_lie_in_pinned_memory_and_threads_take_turns(folder):
    mllm = load(folder, "cuda")
    batches = [([picture(number, 16 + number, 24)], WHOLE[number % 3 : number % 3 + 1]) for number in range(12)]
    made = list(ahead(lambda batch: mllm.inputs(*batch), batches, DECODERS))
    assert all(tensor.is_pinned() for inputs in made for one in inputs for tensor in one.tensors.values())
    found = list(ahead(mllm.read_inputs, made, 2))
    for (images, chats), (reading,) in zip(batches, found, strict=True):
        torch.testing.assert_close(reading.states, mllm.read(images, chats)[0].states, atol=1e-4, rtol=1e-4)


def test_a_heads_batch_is_pinned_and_comes_whole():
    batch = Batch.to_fill(["a", "b"], [3, 2], [Span(1, 3), Span(0, 2)], 4, torch.bfloat16, pin=True)
    batch.states.normal_()
    assert all(tensor.is_pinned() for tensor in batch.tensors)
    assert all(
        torch.equal(moved.cpu(), tensor) for moved, tensor in zip(batch.to("cuda").tensors, batch.tensors, strict=True)
    )


def test_patches_lie_where_they_lie_on_a_cpu():
    """Places are floats cut into buckets, and two devices may round a border unlike: by one place, on it alone."""
    embeddings = tiny_minicpm.places()
    off = {}
    for length in range(900, 1100):
        strip, mask = torch.zeros(1, 3, 14, 14 * length), torch.ones(1, 1, length, dtype=torch.bool)
        with torch.no_grad():
            here = embeddings.cpu()(strip, mask).flatten()
            there = embeddings.cuda()(strip.cuda(), mask.cuda()).flatten().cpu()
        for patch in (here != there).nonzero().flatten().tolist():
            assert 70 * patch % length == 0
            assert abs(here[patch] - there[patch]) == 1
            off[length] = off.get(length, 0) + 1
    print(f"strips with a patch on another place than on a CPU: {off}")
