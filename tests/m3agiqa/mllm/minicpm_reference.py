"""MiniCPM-Llama3-V-2.5 from an image to its vectors, read a second time, from published code, without a look at ours.

Everything is float64 numpy and loops: slow, and easy to hold beside what it was read from. Its sources:

- openbmb's modeling_minicpmv.py of MiniCPM-Llama3-V-2.5 (get_vllm_embedding), in public copies: what is padded, what
  the vision tower is given, where the vectors go;
- openbmb's image_processing_minicpmv.py, and finetune/dataset.py in OpenBMB/MiniCPM-V: sizes, grid, patches, text;
- vllm-project/vllm, vllm/model_executor/models/minicpmv.py (Resampler2_5, MiniCPMV2_5): the resampler;
- transformers' modeling_idefics2.py, 5.23 and (as vLLM copied it) the one of that time, 4.40: the vision tower;
- llama.cpp's first MiniCPM-V-2.5 (clip.cpp): the place of a patch is floor(70 i / n), i counted along the strip.

A view is a strip: patches of 14 pixels in one row, whatever their grid was. That is all the vision tower sees, so its
places run along the strip (one row of n columns), not over the grid; only the resampler knows the grid.

The sources differ in one thing, what happens where the views of an image have unlike numbers of patches. openbmb's code
pads the strips with zeros to the longest and means to mask the padding, but `patch_attn_mask[i, :n] = True` marks along
an axis of length one: the padding is attended to, and the places are spread over the longest strip. Each view alone
(`batch_vision_input: false` in the same code) and vLLM's later releases, which mask, give another result: the padding
changes nothing. `vision(…, length)` is the first reading, `vision(…)` the second.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float64]
Weights = Mapping[str, Array]  # the names of the checkpoint: vpm.…, resampler.…, llm.…


@dataclass(frozen=True)
class Numbers:
    """What the published config and preprocessor_config say, and what a tiny model says in their place."""

    scale: int = 448  # pixels: a view has about scale × scale of them
    patch: int = 14
    most: int = 9  # slices an image may have
    side: int = 70  # rows and columns of the vision tower's table of places: image_size / patch
    vision_heads: int = 16
    vision_eps: float = 1e-6
    queries: int = 96
    head_size: int = 128  # of the resampler: embed_dim // 128 heads


def rounded(length: float, step: int) -> int:
    """The multiple of step nearest to length, at least one step; halves go to the even multiple, as Python rounds."""
    return max(round(length / step) * step, step)


def best_size(width: float, height: float, numbers: Numbers, upscale: bool) -> tuple[int, int]:
    """(width, height) in whole patches: brought to an area of scale², if it is larger or may grow."""
    if width * height > numbers.scale * numbers.scale or upscale:
        ratio = width / height
        height = int(numbers.scale / math.sqrt(ratio))
        width = int(height * ratio)
    return rounded(width, numbers.patch), rounded(height, numbers.patch)


def grid(width: int, height: int, numbers: Numbers) -> tuple[int, int] | None:
    """(columns, rows) into which an image is cut, or None where it stays whole."""
    multiple = min(math.ceil(width * height / (numbers.scale * numbers.scale)), numbers.most)
    if multiple <= 1:
        return None
    found, smallest = (1, 1), math.inf
    for pieces in (multiple - 1, multiple, multiple + 1):
        if pieces == 1 or pieces > numbers.most:
            continue
        for columns in range(1, pieces + 1):
            if pieces % columns == 0:
                rows = pieces // columns
                error = abs(math.log(width / height) - math.log(columns / rows))
                if error < smallest:
                    found, smallest = (columns, rows), error
    return found


def cell(width: int, height: int, cut: tuple[int, int], numbers: Numbers) -> tuple[int, int]:
    """(width, height) of a slice, when each side has been rounded to a multiple of its count of slices."""
    columns, rows = cut
    return best_size(rounded(width, columns) / columns, rounded(height, rows) / rows, numbers, upscale=True)


def views(image: Image.Image, numbers: Numbers) -> list[Image.Image]:
    """The whole image, then its slices row by row."""
    image = image.convert("RGB")
    width, height = image.size
    cut = grid(width, height, numbers)
    whole = image.resize(best_size(width, height, numbers, upscale=cut is None), Image.Resampling.BICUBIC)
    if cut is None:
        return [whole]
    columns, rows = cut
    across, down = cell(width, height, cut, numbers)
    refined = image.resize((across * columns, down * rows), Image.Resampling.BICUBIC)
    slices = []
    for row in range(rows):
        for column in range(columns):
            left, top = column * across, row * down
            slices.append(refined.crop((left, top, left + across, top + down)))
    return [whole, *slices]


def patches(view: Image.Image, numbers: Numbers) -> Array:
    """[n, 3, patch, patch]: pixels from -1 to 1, row by row over the view."""
    pixels = (np.asarray(view, dtype=np.float64) / 255 - 0.5) / 0.5  # (height, width, 3)
    size = numbers.patch
    corners = [(top, left) for top in range(0, pixels.shape[0], size) for left in range(0, pixels.shape[1], size)]
    return np.stack([pixels[top : top + size, left : left + size].transpose(2, 0, 1) for top, left in corners])


def image_text(cut: tuple[int, int] | None, numbers: Numbers) -> str:
    """What stands for an image in the text, before a newline and the question."""
    one = "<image>" + "<unk>" * numbers.queries + "</image>"
    if cut is None:
        return one
    columns, rows = cut
    return one + "<slice>" + "\n".join([one * columns] * rows) + "</slice>"


def chat_text(turns: list[tuple[str, str]], answer: bool) -> str:
    """Llama 3's chat: (role, content) in turn, then the head of an answer if one is wanted."""
    text = "<|begin_of_text|>"
    for role, content in turns:
        text += f"<|start_header_id|>{role}<|end_header_id|>\n\n{content.strip()}<|eot_id|>"
    return text + ("<|start_header_id|>assistant<|end_header_id|>\n\n" if answer else "")


def normed(x: Array, weights: Weights, name: str, eps: float) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x: Array, weights: Weights, name: str) -> Array:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def attended(queries: Array, keys: Array, values: Array, heads: int) -> Array:
    """Attention of (q, D) to (k, D), one head after the other, every key seen."""
    size = queries.shape[1] // heads
    out = np.zeros_like(queries)
    for head in range(heads):
        at = slice(head * size, (head + 1) * size)
        scores = queries[:, at] @ keys[:, at].T / math.sqrt(size)
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[:, at] = shares / shares.sum(axis=1, keepdims=True) @ values[:, at]
    return out


def vision(strip: Array, weights: Weights, numbers: Numbers, length: int | None = None) -> Array:
    """Patches [n, 3, patch, patch] through the tower: [n, vision size]. With `length`, padded to it, nothing masked."""
    count = len(strip)
    length = length or count
    padded = np.concatenate([strip, np.zeros((length - count, *strip.shape[1:]))])
    kernel = weights["vpm.embeddings.patch_embedding.weight"]
    x = padded.reshape(length, -1) @ kernel.reshape(len(kernel), -1).T + weights["vpm.embeddings.patch_embedding.bias"]
    table = weights["vpm.embeddings.position_embedding.weight"]
    x = x + np.stack([table[numbers.side * i // length] for i in range(length)])
    layer = 0
    while (name := f"vpm.encoder.layers.{layer}") + ".layer_norm1.weight" in weights:
        y = normed(x, weights, f"{name}.layer_norm1", numbers.vision_eps)
        q, k, v = (linear(y, weights, f"{name}.self_attn.{part}_proj") for part in "qkv")
        x = x + linear(attended(q, k, v, numbers.vision_heads), weights, f"{name}.self_attn.out_proj")
        y = linear(normed(x, weights, f"{name}.layer_norm2", numbers.vision_eps), weights, f"{name}.mlp.fc1")
        y = 0.5 * y * (1 + np.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))  # gelu_pytorch_tanh
        x = x + linear(y, weights, f"{name}.mlp.fc2")
        layer += 1
    return normed(x, weights, "vpm.post_layernorm", numbers.vision_eps)[:count]


def places(rows: int, columns: int, size: int) -> Array:
    """[rows · columns, size]: sine and cosine of the column, then of the row, each over half of the numbers."""
    quarter = size // 4
    table = np.zeros((rows * columns, size))
    for row in range(rows):
        for column in range(columns):
            for i in range(quarter):
                omega = 10000 ** (-i / quarter)
                table[row * columns + column, [i, quarter + i]] = math.sin(column * omega), math.cos(column * omega)
                table[row * columns + column, [2 * quarter + i, 3 * quarter + i]] = (
                    math.sin(row * omega),
                    math.cos(row * omega),
                )
    return table


def resampled(seen: Array, rows: int, columns: int, weights: Weights, numbers: Numbers) -> Array:
    """What the tower saw in a view of rows × columns patches, as `queries` vectors of the LLM's size."""
    value = normed(seen @ weights["resampler.kv_proj.weight"].T, weights, "resampler.ln_kv", 1e-6)
    size = value.shape[1]
    query = normed(weights["resampler.query"], weights, "resampler.ln_q", 1e-6)
    parts = []
    for index, x in enumerate((query, value + places(rows, columns, size), value)):
        at = slice(index * size, (index + 1) * size)
        parts.append(x @ weights["resampler.attn.in_proj_weight"][at].T + weights["resampler.attn.in_proj_bias"][at])
    out = linear(attended(*parts, heads=size // numbers.head_size), weights, "resampler.attn.out_proj")
    return normed(out, weights, "resampler.ln_post", 1e-6) @ weights["resampler.proj"]


def image_vectors(image: Image.Image, weights: Weights, numbers: Numbers, padded: bool = False) -> list[Array]:
    """One [queries, size] a view; `padded`: to the longest strip, and the padding attended to, as in openbmb's code."""
    cut = views(image, numbers)
    strips = [patches(view, numbers) for view in cut]
    length = max(map(len, strips)) if padded else None
    return [
        resampled(
            vision(strip, weights, numbers, length),
            view.height // numbers.patch,
            view.width // numbers.patch,
            weights,
            numbers,
        )
        for view, strip in zip(cut, strips, strict=True)
    ]


def embedded(tokens: list[int], vectors: list[Array], weights: Weights, start: int, end: int) -> Array:
    """[T, size]: the tokens' embeddings, with each view's vectors strictly between its <image> and </image>."""
    rows = np.stack([weights["llm.model.embed_tokens.weight"][token] for token in tokens])
    begins = [i + 1 for i, token in enumerate(tokens) if token == start]
    ends = [i for i, token in enumerate(tokens) if token == end]
    for begin, stop, view in zip(begins, ends, vectors, strict=True):
        for i in range(begin, stop):
            rows[i] = view[i - begin]
    return rows
