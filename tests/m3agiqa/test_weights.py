"""No weight of a model, an adapter or a head is made up: what is not whole is refused by name."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from m3agiqa.errors import InputError
from m3agiqa.head.model import build_head, load_head, save_head
from m3agiqa.mllm import adapters
from tests import tiny_minicpm, tiny_mllm
from tests.tiny_mllm import load, lora

MODELS = ("smolvlm", "llava", "qwen3_vl", "minicpm_v_4_6")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    made = {name: getattr(tiny_mllm, name)(folder / name) for name in MODELS}
    return made | {"minicpm": tiny_minicpm.minicpm(folder / "minicpm")}


def missing(weights, key):
    del weights[key]


def renamed(weights, key):
    weights[f"{key}_of_another"] = weights.pop(key)


def left_over(weights, key):
    weights["model.one_more.weight"] = weights[key].clone()


def misshaped(weights, key):
    weights[key] = weights[key][:-1].clone()


def not_a_number(weights, key):
    weights[key].view(-1)[-1] = torch.nan


def infinite(weights, key):
    weights[key].view(-1)[0] = -torch.inf


CHANGES = [
    (missing, "missing"),
    (renamed, "missing"),
    (left_over, "left over|missing"),
    (misshaped, "has the shape|shape|size mismatch"),
    (not_a_number, "is not finite"),
    (infinite, "is not finite"),
]


def changed(folder, copy, change, file):
    """A copy in which one weight in the middle of the file is not what it was."""
    shutil.copytree(folder, copy)
    weights = load_file(copy / file)
    matrices = sorted(key for key, value in weights.items() if value.ndim > 1)
    change(weights, matrices[len(matrices) // 2])
    save_file(weights, copy / file, metadata={"format": "pt"})
    return copy


@pytest.mark.parametrize(("change", "complaint"), CHANGES)
@pytest.mark.parametrize("name", [*MODELS, "minicpm"])
def test_a_checkpoint_that_is_not_whole_is_refused(folders, tmp_path, name, change, complaint):
    load(folders[name])
    with pytest.raises(InputError, match=f"weight .*({complaint})") as refused:
        load(changed(folders[name], tmp_path / "model", change, "model.safetensors"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("change", "complaint"), CHANGES)
def test_an_adapter_that_is_not_whole_is_refused(folders, tmp_path, change, complaint):
    mllm = load(folders["smolvlm"])
    adapters.save(mllm.add_lora(lora(modules_to_save=["modality_projection"]), seed=0), tmp_path / "adapter")
    load(folders["smolvlm"], adapter=tmp_path / "adapter")
    broken = changed(tmp_path / "adapter", tmp_path / "broken", change, "adapter_model.safetensors")
    with pytest.raises(InputError, match=complaint) as refused:
        load(folders["smolvlm"], adapter=broken)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("change", "complaint"), [(change, ".") for change, _ in CHANGES])
def test_a_head_that_is_not_whole_is_refused(tmp_path, change, complaint):
    save_head(build_head("mlp", 8, seed=0, dim=4, hidden=4), tmp_path / "head")
    load_head(tmp_path / "head")
    with pytest.raises(InputError, match=complaint) as refused:
        load_head(changed(tmp_path / "head", tmp_path / "broken", change, "head.safetensors"))
    assert "\n" not in str(refused.value)


def test_no_folder_has_its_code_run(tmp_path, monkeypatch):
    """Asked on a terminal, a person may say yes; so nobody is asked."""
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked whether to run the folder's code"))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "code.py").write_text("raise SystemExit('run')\n")
    auto_map = {"auto_map": {"AutoProcessor": "code.P", "AutoConfig": "code.C", "AutoTokenizer": ["code.T", None]}}
    for file in ("preprocessor_config.json", "processor_config.json", "tokenizer_config.json"):
        (folder / file).write_text(json.dumps(auto_map))
        with pytest.raises(InputError, match="cannot be loaded"):
            load(folder)


CODE = {
    "config.json": {"AutoConfig": "code.C", "AutoModelForImageTextToText": "code.M"},
    "processor_config.json": {"AutoProcessor": "code.P", "AutoImageProcessor": "code.I"},
    "preprocessor_config.json": {"AutoProcessor": "code.P", "AutoImageProcessor": "code.I"},
    "tokenizer_config.json": {"AutoTokenizer": ["code.T", None]},
}


@pytest.mark.parametrize("name", ["smolvlm", "minicpm"])
def test_a_whole_model_is_of_the_librarys_class_whatever_code_lies_beside(folders, tmp_path, name):
    folder = shutil.copytree(folders[name], tmp_path / "model")
    (folder / "code.py").write_text("raise SystemExit('run')\n")
    for file, auto_map in CODE.items():
        if (folder / file).exists():
            values = json.loads((folder / file).read_text())
            (folder / file).write_text(json.dumps(values | {"auto_map": auto_map}))
    assert type(load(folder).model) is type(load(folders[name]).model)


def test_a_pickled_checkpoint_is_not_opened(folders, tmp_path):
    folder = shutil.copytree(folders["smolvlm"], tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        load(folder)


def test_a_pickled_adapter_is_not_opened(folders, tmp_path):
    adapters.save(load(folders["smolvlm"]).add_lora(lora(), seed=0), tmp_path)
    torch.save(load_file(tmp_path / "adapter_model.safetensors"), tmp_path / "adapter_model.bin")
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match="holds no adapter"):
        load(folders["smolvlm"], adapter=tmp_path)
