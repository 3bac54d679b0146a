"""Where the models run."""

import torch

from stages.settings import Settings


def device(settings: Settings) -> str:
    """The device that `runtime.device` names; `auto` takes the GPU if there is one."""
    if settings.runtime.device != "auto":
        return settings.runtime.device
    return "cuda" if torch.cuda.is_available() else "cpu"
