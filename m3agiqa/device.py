"""Where the models run."""

import os

import torch


def device(name: str = "auto") -> str:
    """The device called `name`; "auto" is the GPU if there is one, else the CPU.

    Of several processes each has a GPU of its own, named by its number: in a thread, plain "cuda" would be the first
    one, whichever the process has chosen.

    Apple's GPUs are taken where "mps" is asked for, and not by themselves: nothing here was ever run on one.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return f"cuda:{os.environ['LOCAL_RANK']}" if name == "cuda" and "LOCAL_RANK" in os.environ else name


def model_of(name: str = "auto") -> str:
    """What the device called `name` is: a GPU's model, such as "NVIDIA H100 80GB HBM3", else "cpu" or "mps"."""
    where = device(name)
    return torch.cuda.get_device_name(where) if where.startswith("cuda") else where
