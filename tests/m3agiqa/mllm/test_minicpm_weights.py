"""MiniCPM-Llama3-V-2.5 at full size, without weights: every published name and shape has its place."""

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText

import m3agiqa.mllm.minicpm_llama3_v_2_5  # noqa: F401
from m3agiqa.errors import InputError
from m3agiqa.mllm.minicpm_llama3_v_2_5.configuration import MiniCPMVConfig
from tests import tiny_minicpm
from tests.tiny_mllm import load

# What config.json of the published repository says: as the tiny one's, but for the sizes, and without ids.
PUBLISHED = {key: value for key, value in tiny_minicpm.CONFIG.items() if key not in tiny_minicpm.UNPUBLISHED} | {
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "hidden_size": 4096,
    "image_size": 448,
    "intermediate_size": 14336,
    "max_position_embeddings": 8192,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "patch_size": 14,
    "query_num": 96,
    "vision_config": {
        "hidden_size": 1152,
        "image_size": 980,
        "intermediate_size": 4304,
        "model_type": "idefics2",
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
    },
    "vocab_size": 128256,
}
# Every name of the published index with its shape; N counts layers.
WEIGHTS = {
    "llm.lm_head.weight": (128256, 4096),
    "llm.model.embed_tokens.weight": (128256, 4096),
    "llm.model.norm.weight": (4096,),
    "llm.model.layers.N.input_layernorm.weight": (4096,),
    "llm.model.layers.N.post_attention_layernorm.weight": (4096,),
    "llm.model.layers.N.mlp.down_proj.weight": (4096, 14336),
    "llm.model.layers.N.mlp.gate_proj.weight": (14336, 4096),
    "llm.model.layers.N.mlp.up_proj.weight": (14336, 4096),
    "llm.model.layers.N.self_attn.q_proj.weight": (4096, 4096),
    "llm.model.layers.N.self_attn.k_proj.weight": (1024, 4096),
    "llm.model.layers.N.self_attn.v_proj.weight": (1024, 4096),
    "llm.model.layers.N.self_attn.o_proj.weight": (4096, 4096),
    "resampler.query": (96, 4096),
    "resampler.proj": (4096, 4096),
    "resampler.kv_proj.weight": (4096, 1152),
    "resampler.attn.in_proj_weight": (12288, 4096),
    "resampler.attn.in_proj_bias": (12288,),
    "resampler.attn.out_proj.weight": (4096, 4096),
    "resampler.attn.out_proj.bias": (4096,),
    **{f"resampler.ln_{norm}.{part}": (4096,) for norm in ("q", "kv", "post") for part in ("weight", "bias")},
    "vpm.embeddings.patch_embedding.weight": (1152, 3, 14, 14),
    "vpm.embeddings.patch_embedding.bias": (1152,),
    "vpm.embeddings.position_embedding.weight": (4900, 1152),
    **{f"vpm.encoder.layers.N.layer_norm{n}.{part}": (1152,) for n in (1, 2) for part in ("weight", "bias")},
    **{f"vpm.encoder.layers.N.self_attn.{p}_proj.weight": (1152, 1152) for p in ("q", "k", "v", "out")},
    **{f"vpm.encoder.layers.N.self_attn.{p}_proj.bias": (1152,) for p in ("q", "k", "v", "out")},
    "vpm.encoder.layers.N.mlp.fc1.weight": (4304, 1152),
    "vpm.encoder.layers.N.mlp.fc1.bias": (4304,),
    "vpm.encoder.layers.N.mlp.fc2.weight": (1152, 4304),
    "vpm.encoder.layers.N.mlp.fc2.bias": (1152,),
    "vpm.post_layernorm.weight": (1152,),
    "vpm.post_layernorm.bias": (1152,),
}
LAYERS = {"llm": 32, "vpm": 27}


def test_every_published_weight_has_its_place(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED))
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(tmp_path))
    expected = {
        name.replace(".N.", f".{layer}."): shape
        for name, shape in WEIGHTS.items()
        for layer in range(LAYERS[name.split(".")[0]] if ".N." in name else 1)
    }
    assert len(expected) == 741
    assert {name: tuple(weight.shape) for name, weight in model.state_dict().items()} == expected
    assert model.resampler.attn.num_heads == 32
    assert model.generation_config.eos_token_id == [128001, 128009]
    assert model.config.rope_parameters["rope_theta"] == 500000


@pytest.mark.skipif(
    not (facts := Path(__file__).parents[3] / "shared/facts/minicpm_llama3_v_2_5_keys.txt").is_file(),
    reason="the list of published names is not beside the checkout",
)
def test_the_names_above_are_the_published_ones():
    listed = [line for line in facts.read_text().splitlines() if not line.startswith("#")]
    assert {line.split()[0] for line in listed} == set(WEIGHTS)
    for line in listed:
        last = re.search(r"0\.\.(\d+)", line)
        assert last is None or int(last[1]) + 1 == LAYERS[line.split(".")[0]]


def test_other_generations_of_the_model_type_are_refused():
    with pytest.raises(ValueError, match=r"MiniCPM-V 2\.6"):
        MiniCPMVConfig(**tiny_minicpm.CONFIG | {"version": 2.6})


@pytest.mark.parametrize(
    ("file", "settings", "complaint"),
    [
        ("config", {"drop_vision_last_layer": True}, "drop_vision_last_layer is True: only the published False"),
        ("config", {"batch_vision_input": False}, "batch_vision_input is False: only the published True"),
        ("preprocessor_config", {"norm_mean": [0.4, 0.5, 0.5]}, "norm_mean is .*: only the published"),
        ("preprocessor_config", {"norm_std": [0.2, 0.2, 0.2]}, "norm_std is .*: only the published"),
        ("config", {"query_num": 4}, "image_feature_size is 3, and the model's query_num 4"),
        ("preprocessor_config", {"image_feature_size": 2}, "image_feature_size is 2, and the model's query_num 3"),
    ],
)
def test_settings_that_mean_another_network_are_refused(tmp_path, file, settings, complaint):
    folder = tiny_minicpm.minicpm(tmp_path / "model")
    load(folder)
    path = folder / f"{file}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    with pytest.raises(InputError, match=complaint):
        load(folder)
