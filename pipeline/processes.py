"""One stage in several processes: on the GPUs of this machine, or under `accelerate launch` on any number of machines.

Each process runs the whole stage, takes its share of the work by its rank, and the first one alone writes what there
is one of. accelerate's PartialState says who is who and lets them wait for each other; machines share the project's
folder. A share is cut so that what comes out does not depend on how many there are.
"""

import logging
import os
import runpy
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import PartialState

from m3agiqa.device import device as where
from m3agiqa.device import model_of
from m3agiqa.progress import progress
from pipeline.ranks import RANK
from pipeline.settings import Settings

T = TypeVar("T")
PATIENCE = timedelta(days=2)  # with one another: the first may wait for another run, or load on a slow disk


def process(device: str) -> PartialState:
    """Join the processes of the stage, at the first call; tells which one this is. `device` as in `runtime.device`."""
    return PartialState(cpu=where(device) == "cpu", timeout=PATIENCE)


def leave() -> None:
    """Part with the other processes, at the end of a stage that went well."""
    PartialState().wait_for_everyone()
    PartialState().destroy_process_group()


def made_on(settings: Settings) -> dict[str, Any]:
    """What this run may owe its last bits to, for the record: no stage depends on it."""
    return {
        "device": model_of(settings.runtime.device),
        "dtype": settings.mllms[settings.mllm].dtype,
        "batch": settings.runtime.batch,
        "processes": PartialState().num_processes,
    }


def share(work: Sequence[T]) -> list[T]:
    """The pieces that are this process's."""
    here = PartialState()
    return dealt(work, here.num_processes)[here.process_index]


def dealt(work: Sequence[T], processes: int) -> list[list[T]]:
    """The pieces of each process, dealt there and back: of pieces that shrink, none has the larger one each time."""
    hands: list[list[T]] = [[] for _ in range(processes)]
    there_and_back = [*hands, *reversed(hands)]
    for place, piece in enumerate(work):
        there_and_back[place % len(there_and_back)].append(piece)
    return hands


def first_shows_progress(iterable: Iterable[T], *, total: int, desc: str, unit: str) -> Iterator[T]:
    """`progress`, shown by one process for all."""
    if not PartialState().is_main_process:
        return iter(iterable)
    return progress(iterable, total=total, desc=desc, unit=unit)


def launch(module: str, processes: int) -> None:
    """Run the stage `module` in several processes of this machine, as `accelerate launch` does, to the end of all.

    When one fails, the others are stopped, and so is this process, with the same status.
    """
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # whom it stops after a failure is no news
    with socket.socket() as held:  # to the end: no other program is given the port before the first process listens
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("localhost", 0))
        try:
            torch.multiprocessing.spawn(_run, (module, processes, held.getsockname()[1]), nprocs=processes)
        except torch.multiprocessing.ProcessExitedException as error:
            sys.exit(error.exit_code if error.exit_code > 0 else 1)


def _run(rank: int, module: str, processes: int, port: int) -> None:
    os.environ |= {RANK: str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    runpy.run_module(module, run_name="__main__", alter_sys=True)
