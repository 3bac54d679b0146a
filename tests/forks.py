"""Processes of a test's own, as forks of one that has imported the library already: torch alone takes seconds.

`context()` is multiprocessing's "forkserver". Its one server belongs to this process and imports before it first forks,
so that whoever asks names the modules of all.
"""

import os
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from typing import Any

import torch
from torch.multiprocessing.spawn import start_processes

MODULES = ["tests.caption_project", "stages.caption", "analyzers.gemini.google_generativeai", "m3agiqa.workers"]
MODULES += ["google.genai.types", "transformers.trainer", "peft", "accelerate", "xlstm", "sklearn.linear_model"]


def context() -> ForkServerContext:
    made = get_context("forkserver")
    made.set_forkserver_preload(MODULES)
    return made


def spawn(do: Callable[..., None], given: tuple[Any, ...], nprocs: int) -> None:
    """In the place of torch.multiprocessing.spawn, whose processes are not forks."""
    context()
    start_processes(_begun, (dict(os.environ), do, *given), nprocs, start_method="forkserver")


def _begun(rank: int, environment: dict[str, str], do: Callable[..., None], *given: Any) -> None:
    """A fork has the environment of when the server began."""
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    do(rank, *given)
