"""MiniCPM-Llama3-V-2.5 in full size with random weights on a GPU; elsewhere the tests' tiny one.

What the measurements beside it (features, describe, lora) share. Times do not depend on the weights; FLOPs are the
model's own, counted from shapes: padding, recomputation and everything elementwise count as nothing.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from transformers import AutoProcessor

from benchmarks.full_size.machine import DTYPE, ON_GPU, where
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.minicpm_llama3_v_2_5.configuration import MiniCPMVConfig
from m3agiqa.mllm.minicpm_llama3_v_2_5.modeling import MiniCPMVForConditionalGeneration
from m3agiqa.mllm.minicpm_llama3_v_2_5.slicing import slicing
from m3agiqa.mllm.model import LocalMLLM
from pipeline.settings import Settings, load
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
FEWER = [{"max_slice_nums": 4}, {"max_slice_nums": 1}]  # as the profile has it
MOST = 9  # slices, beside the whole
WORDS = ["quality", "image", "bad", "poor", "fair", "good", "excellent"]
SIDES = (256, 512, 768, 1024, 1344, 1792) if ON_GPU else (24, 40, 48)  # px, of uneven images
ASKED, SAID = (2, 8), (8, 81) if ON_GPU else (5, 30)  # words of 3 tokens, for 3 to 16 and 20 to 200 real ones


def student(folder: Path) -> LocalMLLM:
    """The model on the device, in bfloat16 on a GPU; its tokenizer is the tests', with the vocabulary's width."""
    tiny_minicpm.minicpm(folder)
    sizes = {"scale_resolution": VIEW, "patch_size": PATCH, "image_feature_size": SHAPES["query_num"]}
    (folder / "preprocessor_config.json").write_text(json.dumps(tiny_minicpm.PREPROCESSOR | sizes))
    (folder / "config.json").write_text(json.dumps(SHAPES))  # the processor compares the two
    processor = AutoProcessor.from_pretrained(folder)
    torch.manual_seed(0)
    torch.set_default_dtype(DTYPE)
    with where():
        network = MiniCPMVForConditionalGeneration(MiniCPMVConfig(**SHAPES))
    torch.set_default_dtype(torch.float32)
    network.generation_config.update(do_sample=False, eos_token_id=network.config.eos_token_id, pad_token_id=0)
    network.train(mode=False)
    return LocalMLLM(
        network, processor, min(1536, SHAPES["max_position_embeddings"]), where(), "full size", "random", FEWER
    )


def settings(batch: int, most: int | None = None) -> Settings:
    """Those of params.yaml, but for images at once, and for the tokens of a description."""
    chosen = load()
    profile = chosen.mllms[chosen.mllm]
    profile = profile.model_copy(update={"max_new_tokens": most or profile.max_new_tokens})
    runtime = chosen.runtime.model_copy(update={"batch": batch})
    return chosen.model_copy(update={"mllms": chosen.mllms | {chosen.mllm: profile}, "runtime": runtime})


def images(folder: Path, *, uneven: bool) -> pd.DataFrame:
    """A table of IMAGES JPEG pictures, noise of many scales, with prompts and descriptions.

    All alike: SIZE px, and texts of a few words. Uneven: each side one of SIDES, and texts as long as real ones.
    """
    random, rows = np.random.default_rng(0), []
    for number in range(IMAGES):
        width, height = random.choice(SIDES, 2).tolist() if uneven else (SIZE, SIZE)
        noises = [Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8)) for side in (4, 32, 256)]
        pixels = np.sum([np.asarray(noise.resize((width, height)), np.float64) for noise in noises], axis=0)
        path = folder / f"{number:03d}.jpg"
        Image.fromarray((pixels / 3).astype(np.uint8)).save(path, quality=92)
        asked, said = (int(random.integers(*most)) if uneven else 8 for most in (ASKED, SAID))
        texts = {"prompt": _words(random, asked), "description": _words(random, said)}
        rows.append({"image_id": path.stem, "path": str(path), **texts})
    return pd.DataFrame(rows).set_index("image_id")


def over_again(table: pd.DataFrame, times: int) -> pd.DataFrame:
    """The same pictures so many times, each time with one another's texts: hardly two sequences are the same."""
    random, texts, copies = np.random.default_rng(1), ["prompt", "description"], []
    for time in range(times):
        copy = table.set_axis([f"{time}-{name}" for name in table.index])
        copy[texts] = table[texts].to_numpy()[random.permutation(len(table))]
        copies.append(copy)
    return pd.concat(copies)


def _words(random: np.random.Generator, number: int) -> str:
    """So many words, in sentences of ten."""
    words = random.choice(WORDS, number).tolist()
    return " ".join(" ".join(words[start : start + 10]) + "." for start in range(0, number, 10))


class Flops(NamedTuple):
    """Of an image, the mean of a table: to see it, and to read the conversation about it."""

    seen: float
    read: float
    tokens: float  # of its sequence


def flops(student: LocalMLLM, table: pd.DataFrame) -> Flops:
    """Of the described images of `table`, each taken in as many views as it is taken in."""
    found = []
    for path, prompt, description in zip(table["path"], table["prompt"], table["description"], strict=True):
        with Image.open(path) as image:
            asked = conversation("quality", prompt, description)
            (inputs,) = student.inputs([image], [asked])
            (fit,) = inputs.fits
            views = student.fewer_views[fit.level - 1]["max_slice_nums"] if fit.level else MOST
            tokens = inputs.tensors["input_ids"].shape[1]
            found.append(Flops(vision_flops(image.size, views), llama_flops(tokens), tokens))
    return Flops(*np.mean(found, axis=0).tolist())


def vision_flops(size: tuple[int, int], most: int) -> float:
    """Of one image's views, at `most` so many slices: vision tower and resampler."""
    plan = slicing(size, max_slices=most, side=VIEW, patch=PATCH)
    views = [plan.whole]
    if plan.grid is not None and plan.refined is not None:
        columns, rows = plan.grid
        views += [(plan.refined[0] // columns, plan.refined[1] // rows)] * (columns * rows)
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
