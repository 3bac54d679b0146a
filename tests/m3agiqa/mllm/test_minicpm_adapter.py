"""The published adapters' layout on MiniCPM-Llama3-V-2.5, and adapters of our own."""

import json

import pytest
import torch
from peft import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from finetune.distill.training import Conversations, distill
from m3agiqa.errors import InputError
from m3agiqa.mllm import adapters
from m3agiqa.mllm.conversation import conversation
from pipeline.profiles import Distill, Recipe
from tests import tiny_minicpm, tiny_mllm
from tests.tiny_mllm import Taught, collator, picture, texts_of

LORA_A = "base_model.model.llm.model.layers.0.self_attn.q_proj.lora_A.weight"
LORA = tiny_minicpm.LORA
IMAGES = [picture(1, 16, 16), picture(2, 40, 24), picture(3, 64, 12)]
CHATS = [conversation("quality", prompt, "Sharp.") for prompt in ("a cat", "", "two blue balls")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_minicpm.minicpm(tmp_path_factory.mktemp("models") / "minicpm")


@pytest.fixture(scope="module")
def published(folder, tmp_path_factory):
    return tiny_minicpm.adapter(folder, tmp_path_factory.mktemp("published") / "adapter")


def load(folder, **settings):
    return tiny_mllm.load(folder, **{"max_length": 400, **settings})


def states_of(mllm):
    return [reading.states for reading in mllm.read(IMAGES, CHATS)]


def test_a_published_adapter_loads_weight_for_weight(folder, published):
    mllm = load(folder, adapter=published)
    weights = load_file(published / "adapter_model.safetensors")
    loaded = get_peft_model_state_dict(mllm.model, save_embedding_layers=False)
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)
    used = dict(mllm.model.named_parameters())
    assert torch.equal(
        used["base_model.model.vpm.modules_to_save.default.post_layernorm.bias"],
        weights["base_model.model.vpm.post_layernorm.bias"],
    )
    assert not any(parameter.requires_grad for parameter in used.values())


def test_every_part_of_an_adapter_is_heard(folder, published, tmp_path):
    """Each module with the base's weights put back changes the states: nothing is loaded and then passed by."""
    whole = states_of(load(folder, adapter=published))
    base, weights = load_file(folder / "model.safetensors"), load_file(published / "adapter_model.safetensors")
    for module in ("vpm.", "resampler.", "llm.model.embed_tokens.", "llm.model.layers.1.self_attn.k_proj."):
        without = {
            name: base.get(name.removeprefix("base_model.model."), torch.zeros_like(value)) if module in name else value
            for name, value in weights.items()
        }
        out = tmp_path / module
        out.mkdir()
        save_file(without, out / "adapter_model.safetensors", metadata={"format": "pt"})
        (out / "adapter_config.json").write_text(json.dumps(tiny_minicpm.ADAPTER))
        for one, other in zip(whole, states_of(load(folder, adapter=out)), strict=True):
            assert not torch.allclose(one, other, atol=1e-3), module


def test_saved_loaded_and_merged_it_is_the_same(folder, published, tmp_path):
    mllm = load(folder, adapter=published)
    adapters.save(mllm.model, tmp_path)
    again = load(folder, adapter=tmp_path)
    states = states_of(mllm)
    assert all(torch.equal(one, other) for one, other in zip(states, states_of(again), strict=True))
    asked = [chat[:1] for chat in CHATS]
    described = texts_of(mllm, IMAGES, asked, 8)
    again.model = again.model.merge_and_unload()
    assert set(again.model.state_dict()) == set(load_file(folder / "model.safetensors"))
    for one, other in zip(states, states_of(again), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert texts_of(again, IMAGES, asked, 8) == described


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda weights: weights.pop(LORA_A), r"0 weights left over, 1 missing"),
        (lambda weights: weights.pop("base_model.model.resampler.query"), r"lacks the weight .*resampler\.query"),
        (lambda weights: weights.update({"base_model.model.llm.x": torch.ones(1)}), r"1 weights left over, 0 missing"),
        (lambda weights: weights.update({"base_model.model.resampler.query": torch.ones(2, 2)}), "size mismatch"),
    ],
)
def test_an_adapter_of_another_model_is_refused(folder, published, tmp_path, change, complaint):
    weights = load_file(published / "adapter_model.safetensors")
    change(weights)
    save_file(weights, tmp_path / "adapter_model.safetensors", metadata={"format": "pt"})
    (tmp_path / "adapter_config.json").write_text(json.dumps(tiny_minicpm.ADAPTER))
    with pytest.raises(InputError, match=complaint) as caught:
        load(folder, adapter=tmp_path)
    assert "\n" not in str(caught.value)


def test_distillation_starts_from_the_published_adapter(folder, published, tmp_path):
    mllm = load(folder, adapter=published, dtype="bfloat16")
    mllm.add_lora(LORA, seed=0)
    trained = {name: value for name, value in mllm.model.named_parameters() if value.requires_grad}
    before = {name: value.detach().clone() for name, value in trained.items()}
    weights = load_file(published / "adapter_model.safetensors")
    assert len(trained) == len(weights)
    assert {value.dtype for value in trained.values()} == {torch.float32}
    chat = conversation("quality", "a cat", "It is good.", "good")
    examples, val = (Taught((image, chat) for image in images) for images in ([*IMAGES[:2], IMAGES[0]], IMAGES[:2]))
    curve = distill(
        mllm.model,
        Conversations(examples, val, [1] * len(examples), collator(mllm)),
        Distill(enabled=True, seed=0, warmup=0.0, weight_decay=0.1, beta2=0.95, select="loss"),
        Recipe(epochs=2, batch=2, lr=1e-3, word_weight=1, word_spread=0, crop=1.0),
        checkpoints=tmp_path / "checkpoints",
        out=tmp_path / "adapter",
    )
    assert len(curve.val_loss.dropna()) == 2
    unmoved = {name for name, value in trained.items() if torch.equal(value, before[name])}
    assert not unmoved
    student = load(folder, adapter=tmp_path / "adapter")
    assert texts_of(student, IMAGES, [chat[:1] for chat in CHATS], 8)
    assert load_file(tmp_path / "adapter/adapter_model.safetensors").keys() == weights.keys()


def test_lora_settings_must_be_those_of_the_adapter(folder, published):
    mllm = load(folder, adapter=published)
    with pytest.raises(InputError, match=r"has .*'r': 4.*\(given: .*'r': 8"):
        mllm.add_lora(LORA.model_copy(update={"r": 8}), seed=0)
