"""Batches scored by several processes of this machine, each with a scorer of its own: on a GPU each, or on the CPU.

The process that asks makes the batches, those that it would take alone, and it alone keeps what comes of them. Each
worker has one batch to score and one to read meanwhile, and some for threads that make a GPU's inputs; who is done
gets the next, so that large images hold up no other. Paths go to a worker, and scores come back.

A worker ends when its line is closed, at whatever it is: by who asks, when that has all, fails or is interrupted, or by
the kernel, when that is killed. And a worker that is killed closes its line: so neither waits for the other in vain.
"""

import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from threading import Thread, current_thread, main_thread
from types import TracebackType
from typing import Self

import torch
from transformers import logging

from m3agiqa.asking import Asked, Told, telling
from m3agiqa.device import device as where
from m3agiqa.errors import InputError, WorkerError
from m3agiqa.given import Opened
from m3agiqa.overlap import Work, overlapped
from m3agiqa.scorer import Scorer

SPAWN = get_context("spawn")  # a forked process cannot use a GPU
AT_ONCE = 2  # batches that a worker has, a thread's aside: one that it scores, one that it reads
_Read = Future[tuple[Asked, list[Opened]]]
SHORT = "where memory is short, fewer --processes or a smaller --batch take less; run it again to go on from here"


def devices(name: str, processes: int) -> list[str]:
    """Where each of so many processes scores, if the device is called `name`: on a GPU each, or all on the CPU.

    Raises:
        InputError: no such number, or not as many GPUs.
    """
    if processes < 1:
        raise InputError(f"--processes is {processes}, expected 1 or more")
    device = where(name)
    if processes == 1 or device == "cpu":
        return [device] * processes
    if device != "cuda":
        raise InputError(f"--processes is {processes}, and {device} is one device; expected --device cuda or cpu")
    if processes > (there := torch.cuda.device_count()):
        raise InputError(f"--processes is {processes}, and GPUs here are {there}; each process needs one")
    return [f"cuda:{number}" for number in range(processes)]


class Workers:
    """A process for each scorer, started when there is a batch for it and the others have one; ended with the block."""

    def __init__(self, scorers: Sequence[Scorer]) -> None:
        self._scorers = deque(scorers)  # of those that have not been started
        self._threads = max(1, torch.get_num_threads() // len(scorers))
        self._started: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        for worker in self._started:
            worker.end()
        for worker in self._started:
            worker.process.join()

    def told(self, work: Iterable[Asked]) -> Iterator[tuple[Asked, Told]]:
        """The scores of each batch, as they come.

        Raises:
            InputError: parts that do not belong together.
            WorkerError: a worker has ended.
        """
        for asked in work:
            if not asked.images:
                yield asked, {}
                continue
            while (worker := self._free()) is None:
                yield from self._come()
            worker.ask(asked)
        while any(worker.asked for worker in self._started):
            yield from self._come()

    def _free(self) -> "_Worker | None":
        """Who is to have the next batch; None while all have enough."""
        least = min(self._started, key=lambda worker: len(worker.asked), default=None)
        if self._scorers and (least is None or least.asked):
            least = _Worker(self._scorers.popleft(), self._threads)
            self._started.append(least)
        return least if least and len(least.asked) < least.at_once else None

    def _come(self) -> Iterator[tuple[Asked, Told]]:
        """What workers have told by now, at least one of them; what is wrong with another comes after that."""
        wrong: list[InputError | WorkerError] = []
        lines = {worker.line: worker for worker in self._started if worker.asked}
        for line in wait(list(lines)):
            try:
                found = lines[line].tell()  # type: ignore[index]  # wait's stubs allow for sockets
            except (InputError, WorkerError) as error:
                wrong.append(error)
            else:
                yield found
        if wrong:
            raise wrong[0]


class _Worker:
    """A worker, as it is known to who asks."""

    def __init__(self, scorer: Scorer, threads: int) -> None:
        self.asked: deque[Asked] = deque()  # and not told yet, in their order
        self.line, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_serve, args=(scorer, theirs, threads), daemon=True)
        self._device, self.at_once = scorer.device, AT_ONCE + scorer.threads
        with _interrupts_held_back():
            self.process.start()
        theirs.close()  # the worker's alone, so that it is closed when that ends

    def ask(self, asked: Asked) -> None:
        self.asked.append(asked)
        with suppress(ConnectionError):  # it has ended: `tell` says so, after what it told before
            self.line.send(asked)

    def tell(self) -> tuple[Asked, Told]:
        try:
            found: Told | InputError | WorkerError = self.line.recv()
        except (EOFError, OSError):  # nothing, or half of it
            raise self._lost() from None
        if isinstance(found, (InputError, WorkerError)):
            raise found
        return self.asked.popleft(), found

    def end(self) -> None:
        self.line.close()
        self.process.terminate()

    def _lost(self) -> WorkerError:
        self.process.join()
        status = self.process.exitcode or 0
        how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
        return WorkerError(f"process {self.process.pid} on {self._device} has ended {how}; {SHORT}")


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """A process started in the block never hears of Ctrl-C, which a terminal sends to all; this one does, after it.

    Another thread may take the signal, and the main thread then be interrupted while it tells the process what to do.
    """
    resource_tracker.ensure_running()  # else started by the first process, and then it lets interrupts through
    came: list[int] = []
    in_charge = current_thread() is main_thread()  # no other may say what a signal does
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number)) if in_charge else None
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if in_charge:
            signal.signal(signal.SIGINT, handler or signal.SIG_DFL)
    if came:
        signal.raise_signal(signal.SIGINT)


def _serve(scorer: Scorer, line: Connection, threads: int) -> None:
    """A worker's life; an error that is none of the user's ends it, and says so on stderr."""
    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    if scorer.device.startswith("cuda"):
        torch.cuda.set_device(scorer.device)
    batches: SimpleQueue[_Read] = SimpleQueue()
    listener = Thread(target=_listen, args=(line, batches), daemon=True)
    listener.start()
    try:
        for found in overlapped(_works(scorer, batches), scorer.threads):
            line.send(found)
    except InputError as error:
        line.send(error)
    except (MemoryError, torch.OutOfMemoryError) as error:
        line.send(WorkerError(f"on {scorer.device}: {' '.join(str(error).split()) or 'out of memory'}; {SHORT}"))
    listener.join()  # who asks has no more for this process, and ends it


def _works(scorer: Scorer, batches: "SimpleQueue[_Read]") -> Iterator[Work[Told] | None]:
    """Each batch as it comes; what is begun does not wait for one that is not there yet."""
    while True:
        if batches.empty():
            yield None
        asked, opened = batches.get().result()
        yield telling(scorer, opened, asked.aspects)


def _listen(line: Connection, batches: "SimpleQueue[_Read]") -> None:
    """Have each batch read that comes, and end the process when none will."""
    reader = ThreadPoolExecutor(1)
    try:
        while True:
            batches.put(reader.submit(_read, line.recv()))
    finally:
        os._exit(0)  # whatever it is at, nobody waits for it


def _read(asked: Asked) -> tuple[Asked, list[Opened]]:
    return asked, [Opened.of(*image) for image in asked.images]
