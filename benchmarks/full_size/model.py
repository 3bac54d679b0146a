"""MiniCPM-Llama3-V-2.5 in full size with random weights on a GPU, and the ceilings of that GPU.

What the measurements beside it (features, describe, lora) share. Times do not depend on the weights; FLOPs are the
model's own, counted from shapes: padding, recomputation and everything elementwise count as nothing.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from transformers import AutoProcessor

from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.minicpm_llama3_v_2_5.configuration import MiniCPMVConfig
from m3agiqa.mllm.minicpm_llama3_v_2_5.modeling import MiniCPMVForConditionalGeneration
from m3agiqa.mllm.minicpm_llama3_v_2_5.slicing import slicing
from m3agiqa.mllm.model import LocalMLLM
from tests import tiny_minicpm

SIZE = 1024  # px: the whole and 2 x 3 slices
LLAMA = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}
LLAMA |= {"intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 8192, "query_num": 96}
EYES = {"hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16, "intermediate_size": 4304}
EYES |= {"image_size": 980, "patch_size": 14}
CARDS = (24, 40, 80)  # GB
ROOM = 0.93  # of a card: the CUDA context and what lies unusable between tensors take the rest
PROMPT = "a red cube"
DESCRIPTION = "Soft edges, little noise."


def student(folder: Path) -> LocalMLLM:
    """The full-size model on the GPU in bfloat16; its tokenizer is the tests', with the full vocabulary's width."""
    tiny_minicpm.minicpm(folder)
    settings: dict[str, Any] = {**tiny_minicpm.CONFIG, **LLAMA, "vision_config": EYES, "patch_size": 14}
    preprocessor = tiny_minicpm.PREPROCESSOR | {"scale_resolution": 448, "patch_size": 14, "image_feature_size": 96}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    processor = AutoProcessor.from_pretrained(folder)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        network = MiniCPMVForConditionalGeneration(MiniCPMVConfig(**settings))
    torch.set_default_dtype(torch.float32)
    network.generation_config.update(do_sample=False, eos_token_id=network.config.eos_token_id, pad_token_id=0)
    network.train(mode=False)
    return LocalMLLM(network, processor, 1536, torch.device("cuda"), "full size", "random")


def images(folder: Path, count: int) -> pd.DataFrame:
    """A table of `count` JPEG pictures of SIZE px, noise of many scales, with prompts and descriptions."""
    random, rows = np.random.default_rng(0), []
    for number in range(count):
        noises = [Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8)) for side in (4, 32, 256)]
        pixels = np.sum([np.asarray(noise.resize((SIZE, SIZE)), float) for noise in noises], axis=0)
        path = folder / f"{number:03d}.jpg"
        Image.fromarray((pixels / 3).astype(np.uint8)).save(path, quality=92)
        rows.append({"image_id": path.stem, "path": str(path), "prompt": PROMPT, "description": DESCRIPTION})
    return pd.DataFrame(rows).set_index("image_id")


@dataclass(frozen=True)
class Ceilings:
    """What this GPU can do: FLOP/s of an 8192³ bfloat16 product, bytes/s of a copy (read and written)."""

    flops: float
    bytes: float


def ceilings() -> Ceilings:
    """The best of ten products and of ten copies."""
    a, b = torch.randn(2, 8192, 8192, device="cuda", dtype=torch.bfloat16)
    source = torch.empty(2 << 30, dtype=torch.uint8, device="cuda")
    goal = torch.empty_like(source)
    product = min(gpu_seconds(lambda: a @ b) for _ in range(10))
    copy = min(gpu_seconds(lambda: goal.copy_(source)) for _ in range(10))
    return Ceilings(2 * 8192**3 / product, 2 * source.nbytes / copy)


def gpu_seconds(action: Callable[[], object]) -> float:
    """Wall time of `action` until the GPU has done it."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def vision_flops() -> float:
    """Of one image's views: vision tower and resampler."""
    plan = slicing((SIZE, SIZE), max_slices=9, side=448, patch=14)
    if plan.grid is None or plan.refined is None:
        raise ValueError(f"an image of {SIZE} px has slices")
    columns, rows = plan.grid
    views = [plan.whole, *[(plan.refined[0] // columns, plan.refined[1] // rows)] * (columns * rows)]
    width, layers, inner, model = 1152, 27, 4304, 4096
    total = 0.0
    for view in views:
        n = view[0] // 14 * (view[1] // 14)
        tower = layers * (2 * n * (4 * width**2 + 2 * width * inner) + 4 * n**2 * width) + 2 * n * 588 * width
        keys = 2 * n * (width * model + 2 * model**2)
        total += tower + keys + 4 * 96 * n * model + 2 * 96 * 2 * model**2
    return total


def llama_flops(tokens: int) -> float:
    """Of one sequence through the 32 layers, causal attention counted once, without the vocabulary head."""
    projections = 4096 * (2 * 4096 + 2 * 1024) + 3 * 4096 * 14336
    return 32 * (2 * tokens * projections + 2 * tokens**2 * 4096)


def tokens(model: LocalMLLM, table: pd.DataFrame) -> int:
    """Length of one described image's sequence."""
    row = table.iloc[0]
    asked = conversation("quality", row["prompt"], row["description"])
    (inputs,) = model.inputs([Image.open(row["path"])], [asked])
    return inputs.tensors["input_ids"].shape[1]


def peak() -> float:
    """GB of the GPU's memory that were in use at most."""
    return torch.cuda.max_memory_allocated() / 1e9


def peak_of(action: Callable[[], object]) -> float:
    """GB of the GPU's memory that `action` needs, what lies there already included."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    action()
    return peak()


def largest_batches(peaks: Mapping[int, float]) -> str:
    """What fits on cards of other sizes, from the peaks of two batches: an image more takes what the last one took."""
    (few, low), (many, high) = sorted(peaks.items())
    each = (high - low) / (many - few)
    fits = [f"{max(0, math.floor((ROOM * card - low) / each) + few)} on {card} GB" for card in CARDS]
    return f"{low - few * each:.1f} GB and {each:.2f} GB an image; the largest batch: {', '.join(fits)}"
