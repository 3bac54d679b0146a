"""Where the models run."""

import os

import torch

from stages.settings import Settings


def device(settings: Settings) -> str:
    """The device that `runtime.device` names; `auto` takes the GPU if there is one, each process of a stage its own."""
    if settings.runtime.device != "auto":
        return settings.runtime.device
    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{os.environ['LOCAL_RANK']}" if "LOCAL_RANK" in os.environ else "cuda"
