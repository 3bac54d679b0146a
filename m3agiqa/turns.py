"""A model is for one thread at a time, and all of them for one: threads of whatever scorer take turns.

While transformers loads a model, it changes torch for the whole process; a model's own insides are for one pass at a
time; so is which of its adapters acts.
"""

import os
import threading
from typing import TypeVar

import torch

from m3agiqa.overlap import Step, Work

Result = TypeVar("Result")

_TURN = threading.Lock()


def lock() -> threading.Lock:
    """Held by who has a model."""
    return _TURN


def taken(work: Work[Result]) -> Work[Result]:
    """The work, each part of it that is not any thread's done while nobody else has a model."""
    step: Step | None = None
    while True:
        with _TURN:
            try:
                step = next(work) if step is None else work.send(step)
            except StopIteration as end:
                result: Result = end.value
                return result
        step = yield step


def _in_a_forked_process() -> None:
    """What a thread of the parent held is free, and torch computes in one thread: its others did not come along."""
    global _TURN  # noqa: PLW0603 (there is one)
    _TURN = threading.Lock()
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_in_a_forked_process)
