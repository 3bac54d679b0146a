"""Whether a checkpoint is whole: a weight that is missing, left over, of another shape or not finite stops the load.

transformers fills what is missing with random numbers and passes over what is left, with a warning. Tied weights, and
buffers that a model makes itself, are in no checkpoint and not missing; transformers knows them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from m3agiqa.errors import InputError


def check_loaded(info: Mapping[str, Any], name: str) -> None:
    """Refuse what transformers' `output_loading_info` tells of the model `name`.

    Raises:
        InputError: naming a weight that is missing, left over, or of another shape.
    """
    for key, found, expected in sorted(info["mismatched_keys"]):
        raise InputError(f"{name}: weight {key} has the shape {list(found)}, and the model wants {list(expected)}")
    for kind, keys in (("missing", info["missing_keys"]), ("left over", info["unexpected_keys"])):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise InputError(f"{name}: weight {min(keys)}{more} {kind}: not the whole checkpoint of this model")
    for message in info["error_msgs"]:
        raise InputError(f"{name}: {' '.join(str(message).split())}")


def check_finite(module: nn.Module, name: str) -> None:
    """Refuse NaN and infinity in what a checkpoint gives `module`; what it makes itself, such as masks, may hold them.

    Raises:
        InputError: naming the weight.
    """
    seen: set[int] = set()
    for key, value in module.state_dict().items():
        if value.data_ptr() not in seen:  # tied weights are looked at once
            seen.add(value.data_ptr())
            check_tensors([(key, value)], name)


def check_tensors(tensors: Iterable[tuple[str, Tensor]], name: str) -> None:
    """Refuse NaN and infinity in these.

    Raises:
        InputError: naming the tensor.
    """
    for key, value in tensors:
        if value.is_floating_point() and value.numel() and not torch.isfinite(torch.stack(value.aminmax())).all():
            raise InputError(f"{name}: weight {key} is not finite")
