"""MiniCPM-Llama3-V-2.5 with a few thousand random weights, in a folder laid out as its repository publishes it."""

import copy
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn

from m3agiqa.mllm.minicpm_llama3_v_2_5.configuration import MiniCPMVConfig
from m3agiqa.mllm.minicpm_llama3_v_2_5.modeling import MiniCPMVForConditionalGeneration
from m3agiqa.mllm.profile import Lora

PAD = "!"  # an ordinary word with id 0
VOCABULARY = 500
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<unk>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
SPECIAL += ["<image>", "</image>", "<slice>", "</slice>"]
IDS = {token: VOCABULARY + number for number, token in enumerate(SPECIAL)}
PATCH, SIDE, QUERIES = 4, 16, 3  # px, px, vectors a view

# As published, with other sizes.
CONFIG = {
    "version": "2.5",
    "architectures": ["MiniCPMV"],
    "auto_map": {"AutoConfig": "configuration_minicpm.MiniCPMVConfig", "AutoModel": "modeling_minicpmv.MiniCPMV"},
    "batch_vision_input": True,
    "bos_token_id": IDS["<|begin_of_text|>"],
    "drop_vision_last_layer": False,
    "eos_token_id": IDS["<|end_of_text|>"],
    "hidden_size": 32,
    "image_size": SIDE,
    "intermediate_size": 48,
    "max_position_embeddings": 512,
    "model_type": "minicpmv",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "patch_size": PATCH,
    "query_num": QUERIES,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 500000.0,
    "slice_config": {"max_slice_nums": 9, "patch_size": PATCH, "model_type": "minicpmv"},
    "slice_mode": True,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "use_cache": False,
    "vision_config": {
        "hidden_size": 16,
        "image_size": 40,
        "intermediate_size": 32,
        "model_type": "idefics2",
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "patch_size": PATCH,
    },
    "vocab_size": 512,
}
# The ids of the real vocabulary are the defaults.
UNPUBLISHED = {"image_start_id": IDS["<image>"], "image_end_id": IDS["</image>"], "image_token_id": IDS["<unk>"]}
UNPUBLISHED |= {"end_of_turn_id": IDS["<|eot_id|>"]}
CONFIG |= UNPUBLISHED
PREPROCESSOR = {
    "image_processor_type": "MiniCPMVImageProcessor",
    "auto_map": {
        "AutoProcessor": "processing_minicpmv.MiniCPMVProcessor",
        "AutoImageProcessor": "image_processing_minicpmv.MiniCPMVImageProcessor",
    },
    "processor_class": "MiniCPMVProcessor",
    "max_slice_nums": 9,
    "scale_resolution": SIDE,
    "patch_size": PATCH,
    "image_feature_size": QUERIES,
    "im_start": "<image>",
    "norm_mean": [0.5, 0.5, 0.5],
    "norm_std": [0.5, 0.5, 0.5],
    "version": 2.5,
}
TOKENIZER = {
    "added_tokens_decoder": {str(number): {"content": token, "special": True} for token, number in IDS.items()},
    "auto_map": {"AutoTokenizer": ["tokenization_minicpmv_fast.MiniCPMVTokenizerFast", None]},
    "bos_token": "<|begin_of_text|>",
    "chat_template": "{{ messages[0]['content'] | trim }}",  # the published one cannot hold images
    "eos_token": "<|end_of_text|>",
    "pad_token": PAD,
    "tokenizer_class": "MiniCPMVTokenizerFast",
    "unk_token": "<unk>",
}
# adapter_config.json as the published adapters' peft wrote it, with another r.
ADAPTER = {
    "alpha_pattern": {},
    "auto_mapping": {
        "base_model_class": "MiniCPMV",
        "parent_library": "transformers_modules.openbmb.MiniCPM-Llama3-V-2_5.modeling_minicpmv",
    },
    "base_model_name_or_path": "openbmb/MiniCPM-Llama3-V-2_5",
    "bias": "none",
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layers_pattern": None,
    "layers_to_transform": None,
    "loftq_config": {},
    "lora_alpha": 4,
    "lora_dropout": 0.05,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": ["embed_tokens", "resampler", "vpm"],
    "peft_type": "LORA",
    "r": 4,
    "rank_pattern": {},
    "revision": None,
    "target_modules": r"llm\..*layers\.\d+\.self_attn\.(q_proj|k_proj|v_proj|o_proj)",
    "task_type": None,
    "use_dora": False,
    "use_rslora": False,
}
LORA = Lora(  # the same, as a profile says it
    r=4, alpha=4, dropout=0.05, targets=ADAPTER["target_modules"], modules_to_save=ADAPTER["modules_to_save"]
)


def model(seed: int = 1) -> MiniCPMVForConditionalGeneration:
    """Weights large enough that what the model says depends on what it sees."""
    torch.manual_seed(seed)
    network = MiniCPMVForConditionalGeneration(MiniCPMVConfig(**CONFIG)).float().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.1)  # published ones are not zero either
            elif parameter.ndim > 1 and "resampler" not in name:
                parameter.mul_(10)
    return network


def places() -> nn.Module:
    """The vision tower's embeddings at full size, which give each patch the number of its place and nothing else."""
    vision = model().vpm
    config = copy.deepcopy(vision.config)
    config.image_size, config.patch_size, config.hidden_size = 70 * 14, 14, 1
    embeddings = type(vision.embeddings)(config)
    with torch.no_grad():
        embeddings.patch_embedding.bias.zero_()
        embeddings.position_embedding.weight.copy_(torch.arange(4900.0)[:, None])
    return embeddings


def minicpm(folder: Path) -> Path:
    """The folder, with weights, tokenizer and settings as published."""
    model().save_pretrained(folder)
    _tokenizer().save(str(folder / "tokenizer.json"))
    for name, settings in [("config", CONFIG), ("preprocessor_config", PREPROCESSOR), ("tokenizer_config", TOKENIZER)]:
        (folder / f"{name}.json").write_text(json.dumps(settings))
    (folder / "generation_config.json").unlink(missing_ok=True)  # of several processes, the first alone saves
    return folder


def adapter(base: Path, folder: Path) -> Path:
    """An adapter under the published names, whose every weight differs from those of the model in `base`."""
    draw = torch.Generator().manual_seed(3)
    weights = {}
    for name, value in load_file(base / "model.safetensors").items():
        if name.startswith(("resampler.", "vpm.")) or name == "llm.model.embed_tokens.weight":
            weights[f"base_model.model.{name}"] = value + 0.2 * torch.randn(value.shape, generator=draw)
        elif ".self_attn." in name:
            module = name.removesuffix(".weight")
            for matrix, shape in (("A", (4, value.shape[1])), ("B", (value.shape[0], 4))):
                drawn = 0.2 * torch.randn(shape, generator=draw)
                weights[f"base_model.model.{module}.lora_{matrix}.weight"] = drawn
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_config.json").write_text(json.dumps(ADAPTER))
    return folder


def _tokenizer() -> Tokenizer:
    """Byte-level BPE like Llama 3's: words first, the special tokens behind them."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = " ".join(f"Analyse quality of this image, {a}{b}" for a in "abcdefghijklmnop" for b in "bad poor fair good")
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator([words], trainer)
    while core.get_vocab_size() < VOCABULARY:
        core.add_tokens([f"filler{core.get_vocab_size()}"])
    core.add_special_tokens(SPECIAL)
    begin = ("<|begin_of_text|>", IDS["<|begin_of_text|>"])
    core.post_processor = processors.TemplateProcessing(single=f"{begin[0]} $A", special_tokens=[begin])
    return core
