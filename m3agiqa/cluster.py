"""Batches scored by a Ray cluster: Ray Data moves them, holds back who is ahead, and starts anew who is killed.

The process that asks makes the batches, those that it would take alone, and it alone keeps what comes of them. Files
are read on its machine, so that no other needs to see them; any CPU of the cluster decodes them; scorers that have
loaded the judge, each on a GPU of its own or on a CPU, score. A batch is a row of Ray Data, and a block of its own: a
killed process costs the batches that it had, and these are done again.

Rows hold objects of ours, which Ray pickles, with the bytes of files in them. Nothing out of a file is unpickled.
"""

import logging
import os
import re
import socket
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray.data import ActorPoolStrategy, DataContext, Dataset, TaskPoolStrategy
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import RayError, RayTaskError, UserCodeException
from transformers.utils.logging import disable_progress_bar

from m3agiqa.asking import Asked, Tell, Told, telling
from m3agiqa.decoding import Batch, Images, decoded, read
from m3agiqa.errors import InputError, WorkerError
from m3agiqa.interrupts import noted
from m3agiqa.overlap import alone
from m3agiqa.scored_images import code
from m3agiqa.scorer import Scorer
from m3agiqa.workers import SHORT

ADDRESS = "RAY_ADDRESS"  # Ray's own name for it
READERS = 2  # batches whose files are read at a time: one machine's disk has no more to give
# CPUs that Ray counts for each: a batch is always decoded next to scorers, even where a machine has a single CPU; and a
# machine that has none for work gets no scorer.
READING, DECODING, SCORING = 0, 0.9, 0.01
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}  # nothing is reported, or said beside ours


@contextmanager
def joined(device: str, scorers: int | None) -> Iterator[dict[str, Any]]:
    """`device` and `teller` for `scored`: the cluster at RAY_ADDRESS, or one of this machine that ends with the block.

    Args:
        device: "cpu", "cuda", or "auto" for GPUs if the cluster has any.
        scorers: how many; without a number, one for each GPU, or on CPUs for each machine.

    Raises:
        InputError: no such number, no cluster there, or not as many GPUs.
        WorkerError: Ray does not start here.
    """
    if scorers is not None and scorers < 1:
        raise InputError(f"--processes is {scorers}, expected 1 or more")
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # Ray tells there of whom it has started anew
        ours = not ray.is_initialized()
        if ours:
            _join(os.environ.get(ADDRESS, ""))
        try:
            cluster = _Cluster(device, scorers)
            yield {"device": cluster.device, "teller": cluster.teller}
        finally:
            if ours:
                ray.shutdown()


class _Cluster:
    """What of it scores: so many scorers on its CPUs or its GPUs."""

    def __init__(self, device: str, scorers: int | None) -> None:
        gpus = int(ray.cluster_resources().get("GPU", 0))
        machines = sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())
        self.device = ("cuda" if gpus else "cpu") if device == "auto" else device
        if self.device not in ("cpu", "cuda"):
            raise InputError(f"--device is {device}, and --engine ray takes cpu or cuda; Ray says which GPU")
        if not machines:
            raise InputError("the Ray cluster has no CPU, and images must be decoded")
        if self.device == "cuda" and not gpus:
            raise InputError("--device is cuda, and the Ray cluster has no GPU")
        if self.device == "cuda" and scorers and scorers > gpus:
            raise InputError(f"--processes is {scorers}, and GPUs of the Ray cluster are {gpus}; each needs one")
        self._scorers = scorers or (gpus if self.device == "cuda" else machines)
        self._threads = max(1, torch.get_num_threads() * machines // self._scorers)

    @contextmanager
    def teller(self, scorer: Scorer) -> Iterator[Tell]:
        """Copies of `scorer` in the cluster, which end with what they were asked, or with the block."""
        with ExitStack() as asked:
            yield lambda work: asked.enter_context(closing(self._told(scorer, work)))

    def _told(self, scorer: Scorer, work: Iterable[Asked]) -> Generator[tuple[Asked, Told]]:
        """The scores of each batch, as they come.

        Raises:
            InputError: parts that do not belong together, or are not on a machine of the cluster.
            WorkerError: Ray has given up.
        """
        batches = list(work)
        for asked in batches:
            if not asked.images:
                yield asked, {}
        numbered = [(number, asked) for number, asked in enumerate(batches) if asked.images]
        if not numbered:
            return
        wanted = [Batch(number, Path.cwd(), asked.images, asked.aspects) for number, asked in numbered]
        with _told_in_one_line(), noted() as interrupts:
            rows = self._scored(scorer, wanted).iter_rows()
            interrupts.tell()
            for row in rows:
                interrupts.tell()
                found: _Found = row["item"]
                if isinstance(found.told, (InputError, WorkerError)):
                    raise found.told
                yield batches[found.number], found.told

    def _scored(self, scorer: Scorer, wanted: Sequence[Batch]) -> Dataset:
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        size = min(self._scorers, len(wanted))
        return (
            ray.data.from_items(list(wanted), override_num_blocks=len(wanted))
            .map(read, num_cpus=READING, compute=TaskPoolStrategy(min(READERS, len(wanted))), label_selector=here)
            .map(decoded, num_cpus=DECODING)
            .map(
                _Scoring,
                fn_constructor_args=(scorer, self._threads, code()),
                num_cpus=SCORING,
                num_gpus=1 if self.device == "cuda" else 0,
                compute=ActorPoolStrategy(size=size),
            )
        )


@dataclass(frozen=True)
class _Found:
    number: int
    told: Told | InputError | WorkerError


class _Scoring:
    """A scorer in a process of its own, an actor of Ray: what it cannot do, it tells to who asks."""

    def __init__(self, scorer: Scorer, threads: int, theirs: object) -> None:
        disable_progress_bar()
        torch.set_num_threads(min(threads, os.cpu_count() or 1))
        self._scorer, self._is_same = scorer, theirs == code()

    def __call__(self, row: dict[str, Images]) -> dict[str, _Found]:
        images = row["item"]
        return {"item": _Found(images.batch.number, self._told(images))}

    def _told(self, images: Images) -> Told | InputError | WorkerError:
        where = socket.gethostname()
        if not self._is_same:
            return InputError(f"{where}, a machine of the Ray cluster, has another m3agiqa, torch or other library")
        try:
            return alone(telling(self._scorer, images.opened, images.batch.aspects))
        except InputError as error:
            return InputError(f"{error} (on {where}, in the Ray cluster)")
        except (MemoryError, torch.OutOfMemoryError) as error:
            return WorkerError(f"on {where}: {' '.join(str(error).split()) or 'out of memory'}; {SHORT}")


def _join(address: str) -> None:
    """Let this process be a driver of Ray, which says nothing beside us."""
    if address:
        _check(address)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        with _silenced():  # that it was told to say nothing, it says
            ray.init(address, **options) if address else ray.init("local", include_dashboard=False, **options)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        why = " ".join(str(error).split())
        if not address:
            raise WorkerError(f"Ray does not start here: {why}") from None
        hint = "one that asks for a token wants RAY_AUTH_MODE=token here, too"
        raise InputError(f"{ADDRESS} is {address}, and no Ray cluster is joined there: {why}; {hint}") from None
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False


def _check(address: str) -> None:
    """Whether anybody listens there: Ray itself would try for ten minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError, OverflowError) as error:
        expected = "expected HOST:PORT of a cluster that this machine is part of"
        raise InputError(f"{ADDRESS} is {address}, {expected} ({error})") from None


@contextmanager
def _silenced() -> Iterator[None]:
    """What Ray's core, which is no Python, writes to stderr in the block is lost."""
    before = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    """What has happened to Ray; an error in our own code is a bug, and stays one."""
    try:
        yield
    except (RayError, ExecutionTimeoutError) as error:
        said = str(error)
        if missing := re.search(r"No module named '([^']+)'", said):
            where = "a machine of the Ray cluster has no"
            raise InputError(f"{where} {missing[1]}: pip install 'm3agiqa[ray]' there, too") from None
        if isinstance(error, (RayTaskError, UserCodeException)):
            raise
        line = re.sub(r"\x1b\[\d*m", "", said.strip().partition("\n")[0]).rstrip(".")
        raise WorkerError(f"Ray: {line}; {SHORT}") from None
