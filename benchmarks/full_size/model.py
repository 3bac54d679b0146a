"""MiniCPM-Llama3-V-2.5 in full size with random weights on a GPU; elsewhere the tests' tiny one.

What the measurements beside it (features, describe, lora) share. Times do not depend on the weights; FLOPs are the
model's own, counted from shapes: padding, recomputation and everything elementwise count as nothing.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from transformers import AutoProcessor

from benchmarks.full_size.machine import DEVICE, DTYPE, ON_GPU
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.minicpm_llama3_v_2_5.configuration import MiniCPMVConfig
from m3agiqa.mllm.minicpm_llama3_v_2_5.modeling import MiniCPMVForConditionalGeneration
from m3agiqa.mllm.minicpm_llama3_v_2_5.slicing import slicing
from m3agiqa.mllm.model import LocalMLLM
from tests import tiny_minicpm

SHAPES: dict[str, Any] = dict(tiny_minicpm.CONFIG)
SIZE, VIEW, IMAGES = 40, tiny_minicpm.SIDE, 8  # px: the whole and 2 x 3 slices; px of a view; pictures
if ON_GPU:
    SHAPES |= {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}
    SHAPES |= {"intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 8192, "query_num": 96}
    EYES = {"hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16, "intermediate_size": 4304}
    SHAPES |= {"vision_config": EYES | {"image_size": 980, "patch_size": 14}, "patch_size": 14}
    SIZE, VIEW, IMAGES = 1024, 448, 64
PATCH: int = SHAPES["patch_size"]
PROMPT = "a red cube"
DESCRIPTION = "Soft edges, little noise."


def student(folder: Path) -> LocalMLLM:
    """The model on the device, in bfloat16 on a GPU; its tokenizer is the tests', with the vocabulary's width."""
    tiny_minicpm.minicpm(folder)
    sizes = {"scale_resolution": VIEW, "patch_size": PATCH, "image_feature_size": SHAPES["query_num"]}
    (folder / "preprocessor_config.json").write_text(json.dumps(tiny_minicpm.PREPROCESSOR | sizes))
    (folder / "config.json").write_text(json.dumps(SHAPES))  # the processor compares the two
    processor = AutoProcessor.from_pretrained(folder)
    torch.manual_seed(0)
    torch.set_default_dtype(DTYPE)
    with DEVICE:
        network = MiniCPMVForConditionalGeneration(MiniCPMVConfig(**SHAPES))
    torch.set_default_dtype(torch.float32)
    network.generation_config.update(do_sample=False, eos_token_id=network.config.eos_token_id, pad_token_id=0)
    network.train(mode=False)
    return LocalMLLM(network, processor, min(1536, SHAPES["max_position_embeddings"]), DEVICE, "full size", "random")


def images(folder: Path) -> pd.DataFrame:
    """A table of IMAGES JPEG pictures of SIZE px, noise of many scales, with prompts and descriptions."""
    random, rows = np.random.default_rng(0), []
    for number in range(IMAGES):
        noises = [Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8)) for side in (4, 32, 256)]
        pixels = np.sum([np.asarray(noise.resize((SIZE, SIZE)), float) for noise in noises], axis=0)
        path = folder / f"{number:03d}.jpg"
        Image.fromarray((pixels / 3).astype(np.uint8)).save(path, quality=92)
        rows.append({"image_id": path.stem, "path": str(path), "prompt": PROMPT, "description": DESCRIPTION})
    return pd.DataFrame(rows).set_index("image_id")


def vision_flops() -> float:
    """Of one image's views: vision tower and resampler."""
    plan = slicing((SIZE, SIZE), max_slices=9, side=VIEW, patch=PATCH)
    if plan.grid is None or plan.refined is None:
        raise ValueError(f"an image of {SIZE} px has slices")
    columns, rows = plan.grid
    views = [plan.whole, *[(plan.refined[0] // columns, plan.refined[1] // rows)] * (columns * rows)]
    eyes = SHAPES["vision_config"]
    width, layers, inner = eyes["hidden_size"], eyes["num_hidden_layers"], eyes["intermediate_size"]
    model, queries = SHAPES["hidden_size"], SHAPES["query_num"]
    total = 0.0
    for view in views:
        n = view[0] // PATCH * (view[1] // PATCH)
        tower = layers * (2 * n * (4 * width**2 + 2 * width * inner) + 4 * n**2 * width) + 2 * n * 3 * PATCH**2 * width
        keys = 2 * n * (width * model + 2 * model**2)
        total += tower + keys + 4 * queries * n * model + 2 * queries * 2 * model**2
    return total


def llama_flops(tokens: int) -> float:
    """Of one sequence through Llama's layers, causal attention counted once, without the vocabulary head."""
    width = SHAPES["hidden_size"]
    keys = width * SHAPES["num_key_value_heads"] // SHAPES["num_attention_heads"]
    projections = width * (2 * width + 2 * keys) + 3 * width * SHAPES["intermediate_size"]
    flops: float = SHAPES["num_hidden_layers"] * (2 * tokens * projections + 2 * tokens**2 * width)
    return flops


def tokens(model: LocalMLLM, table: pd.DataFrame) -> int:
    """Length of one described image's sequence."""
    row = table.iloc[0]
    asked = conversation("quality", row["prompt"], row["description"])
    (inputs,) = model.inputs([Image.open(row["path"])], [asked])
    return inputs.tensors["input_ids"].shape[1]
