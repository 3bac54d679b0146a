"""LoRA on an MLLM: what trains, where it starts, and an adapter that is saved and loaded."""

import json

import pytest
import torch
from peft import get_peft_model_state_dict

from m3agiqa.mllm import adapters
from m3agiqa.mllm.model import LocalMLLM
from tests.rated import ASK, IMAGES, RATE, states_of
from tests.tiny_mllm import load, lora, texts_of


def with_lora(mllm, modules_to_save=()):
    mllm.add_lora(lora(alpha=4, modules_to_save=list(modules_to_save)), seed=0)
    with torch.no_grad():  # as if trained: B is zero at first, and a zero would hide what is not saved
        for number, parameter in enumerate(mllm.model.parameters()):
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return mllm


def test_lora_trains_only_its_targets(mllm, request):
    frozen = {name: value.clone() for name, value in mllm.model.state_dict().items()}
    modules = [name for name, _ in mllm.model.named_modules()]
    copy = LocalMLLM(mllm.model, mllm.processor, 256, mllm.device, mllm.name, mllm.identity)
    copy.add_lora(lora(), seed=0)
    try:
        trained = [name for name, parameter in copy.model.named_parameters() if parameter.requires_grad]
        attentive = sum(
            name.endswith(".self_attn.q_proj") and "vision" not in name and "vpm" not in name for name in modules
        )
        assert len(trained) == attentive * 4 * 2  # layers × projections × (A, B)
        assert all(".self_attn." in name and "lora_" in name and "vision" not in name for name in trained)
    finally:
        mllm.model = copy.model.unload()
    assert all(torch.equal(value, frozen[name]) for name, value in mllm.model.state_dict().items())


def test_modules_to_save_are_trained_in_full_in_float32(folders):
    mllm = load(folders["smolvlm"], dtype="bfloat16")
    mllm.add_lora(lora(modules_to_save=["modality_projection"]), seed=0)
    trained = {name: parameter for name, parameter in mllm.model.named_parameters() if parameter.requires_grad}
    assert any("modality_projection.modules_to_save" in name for name in trained)
    assert {parameter.dtype for parameter in trained.values()} == {torch.float32}


def test_lora_starts_from_the_seed(folders):
    weights = []
    for seed in (0, 0, 1):
        mllm = load(folders["smolvlm"])
        mllm.add_lora(lora(targets=["q_proj"]), seed=seed)
        weights.append(torch.cat([value.flatten() for value in get_peft_model_state_dict(mllm.model).values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("modules_to_save", [[], ["modality_projection"]])
def test_a_saved_adapter_gives_the_same_outputs(folders, tmp_path, modules_to_save):
    trained = with_lora(load(folders["smolvlm"]), modules_to_save)
    adapters.save(trained.model, tmp_path / "adapter")
    loaded = load(folders["smolvlm"], adapter=tmp_path / "adapter")
    bare = load(folders["smolvlm"])
    assert texts_of(loaded, IMAGES, ASK, 12) == texts_of(trained, IMAGES, ASK, 12)
    for one, other, base in zip(
        states_of(loaded, IMAGES, RATE),
        states_of(trained, IMAGES, RATE),
        states_of(bare, IMAGES, RATE),
        strict=True,
    ):
        assert torch.equal(one, other)
        assert not torch.allclose(one, base, atol=1e-3)


def test_a_saved_adapter_names_its_base_as_given(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(folders["smolvlm"].parent)
    mllm = with_lora(load("smolvlm"))
    for name in ("once", "again"):
        adapters.save(mllm.model, tmp_path / name)
    settings = (tmp_path / "once" / "adapter_config.json").read_text()
    assert json.loads(settings)["base_model_name_or_path"] == "smolvlm"
    assert str(tmp_path.parent) not in settings
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_identity_follows_weights_dtype_and_adapter(folders, tmp_path):
    first = load(folders["smolvlm"])
    assert first.identity == load(folders["smolvlm"], max_length=100).identity
    adapted = []
    for name, modules in (("one", []), ("two", ["modality_projection"])):
        adapters.save(with_lora(load(folders["smolvlm"]), modules).model, tmp_path / name)
        adapted.append(load(folders["smolvlm"], adapter=tmp_path / name).identity)
    bfloat16 = load(folders["smolvlm"], dtype="bfloat16").identity
    assert len({first.identity, bfloat16, load(folders["llava"]).identity, *adapted}) == 5
