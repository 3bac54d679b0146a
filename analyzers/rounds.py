"""Asks the model of this machine many questions, in rounds: a round asks what the one before left open.

The images go through it in batches of like length, as in describe, on every GPU of `runtime.launcher`: the first
process plans a round and tells the others, each of which asks its share and writes a journal of its own. When all are
done, the first one takes those over into its journal, where it finds them after a kill, too. So what comes out does not
depend on how many there are, and no image is asked about twice.
"""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from analyzers.joining import NAME, take_over
from analyzers.ledger import Ledger
from analyzers.mllm import LocalTeacher, Request
from analyzers.teacher import Answer, Question, Usage
from analyzers.totals import REFUSED
from analyzers.work import kept
from m3agiqa.ahead import DECODERS, ahead
from m3agiqa.device import device
from m3agiqa.errors import InputError
from m3agiqa.images import load_image
from m3agiqa.journal import Journal
from m3agiqa.mllm import adapters
from m3agiqa.mllm.fitting import TooLongError
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.readings import Inputs
from pipeline import sources
from pipeline.processes import process, share
from pipeline.settings import Settings
from pipeline.sources import TeacherSource

WINDOW = 4096  # questions that are sorted by length together


class _Made(NamedTuple):
    """What the model is given of a batch, and what does not fit."""

    requests: list[Request]
    inputs: list[Inputs]
    too_long: list[tuple[Request, TooLongError]]


class Rounds:
    """The teacher at work with the other processes of the stage, `batch` images at a time; journals are in `folder`."""

    def __init__(self, teacher: LocalTeacher, batch: int, here: PartialState, folder: Path) -> None:
        self._teacher, self._batch, self._here, self._folder = teacher, batch, here, folder

    @property
    def tries(self) -> int:
        return self._teacher.tries

    def key(self, question: Question) -> str:
        return self._teacher.key(question)

    def settle(self, ledger: Ledger, questions: Iterable[Question], *, accepted: bool) -> Generator[Question]:
        """Each question once nothing of it is missing in the ledger. `accepted` as in Asker.

        Raises:
            InputError: no question fits, and none ever did.
        """
        waiting = iter(questions)
        while window := {question.image_id: question for question in islice(waiting, WINDOW)}:
            if not accepted:
                self._try_the_shortest(window.values())
                accepted = True
            while window:
                yield from self._round(ledger, window)

    def help(self) -> None:
        """Do this process's share of each round, which may have nothing for it, until the first one has no more."""
        while (batches := self._told()) is not None:
            with Journal(self._folder / f"answers-{self._here.process_index}.jsonl") as own:
                for _ in self._asked(Ledger(own, self), share(batches)):
                    pass
            self._here.wait_for_everyone()

    def end(self) -> None:
        """Let the other processes go."""
        self._tell(None)

    def _round(self, ledger: Ledger, window: dict[str, Question]) -> Iterator[Question]:
        """Ask once more about all that wait, and take out of them who need not wait any longer."""
        batches = self._batches(ledger, window.values())
        self._tell(batches)
        for batch in self._asked(ledger, share(batches)):
            yield from _settled(ledger, window, [request.question.image_id for request in batch])
        self._here.wait_for_everyone()
        take_over(self._folder, ledger.journal, ledger.enter)
        yield from _settled(ledger, window, list(window))

    def _batches(self, ledger: Ledger, questions: Iterable[Question]) -> list[list[Request]]:
        """What is open, each part once: two rows may have the same picture. The longest first, as in describe."""
        asked: set[str] = set()
        requests: list[Request] = []
        for question in questions:
            parts = set(ledger.about(question)["parts"].values())
            if not parts & asked:
                asked |= parts
                requests += self._teacher.requests(question, ledger.of(question))
        requests.sort(key=lambda request: (-request.room, -request.length))
        batches: list[list[Request]] = []
        for request in requests:
            if not batches or len(batches[-1]) == self._batch or batches[-1][0].room != request.room:
                batches.append([])
            batches[-1].append(request)
        return batches

    def _asked(self, ledger: Ledger, batches: Sequence[list[Request]]) -> Iterator[list[Request]]:
        """Each batch once its answers are in the ledger. While one is answered, threads read the images of the next."""
        on_gpu = self._teacher.model.device.type == "cuda"
        start = time.monotonic()
        made_ahead = ahead(self._made, batches, DECODERS if on_gpu else 1)
        for batch, made in zip(batches, made_ahead, strict=True):
            answers = self._teacher.answers(made.inputs, made.requests) if made.requests else []
            end = time.monotonic()
            for request, answer in zip(made.requests, answers, strict=True):
                seconds = (end - start) / len(answers)
                ledger.record(request.question, answer, attempts=1, seconds=seconds, at=time.time())
            for request, error in made.too_long:
                _refuse(ledger, request, error)
            start = end
            yield batch

    def _made(self, batch: list[Request]) -> _Made:
        requests = list(batch)
        too_long: list[tuple[Request, TooLongError]] = []
        images = [load_image(request.question.path) for request in requests]
        while requests:
            try:
                return _Made(requests, self._teacher.inputs(images, requests), too_long)
            except TooLongError as error:
                too_long.append((requests.pop(error.row), error))
                del images[error.row]
        return _Made([], [], too_long)

    def _try_the_shortest(self, questions: Iterable[Question]) -> None:
        """Where not even that fits, it is the settings, and no image."""
        alone = (self._teacher.alone(question.about([next(iter(question.mos))])) for question in questions)
        if too_long := self._made([min(alone, key=lambda request: request.length)]).too_long:
            ((request, error),) = too_long
            raise InputError(f"{request.question.path}: {error}; nothing was accepted yet (raise max_length)")

    def _tell(self, batches: list[list[Request]] | None) -> None:
        """Say to the other processes what is asked in a round, or None: there are no more."""
        broadcast_object_list([batches])

    def _told(self) -> list[list[Request]] | None:
        """What the first process says."""
        told: list[list[list[Request]] | None] = broadcast_object_list([None])
        return told[0]


def rounds(settings: Settings) -> Rounds:
    """The teacher `mllm` of the settings, loaded."""
    chosen = sources.read(TeacherSource, sources.TEACHER, settings.teacher).mllm
    if chosen is None:
        raise InputError(f"{sources.TEACHER}: names no MLLM; run python -m stages.source")
    here = process(settings.runtime.device)
    model = LocalMLLM.load(chosen, device=device(settings.runtime.device), adapter=adapters.own(chosen))
    teacher = LocalTeacher(model, chosen.max_new_tokens)
    return Rounds(teacher, settings.runtime.batch, here, kept(settings, NAME).parent)


def _settled(ledger: Ledger, window: dict[str, Question], image_ids: Iterable[str]) -> Iterator[Question]:
    """Those of these images of which nothing is missing any more; they leave the window."""
    for image_id in image_ids:
        if image_id in window and not ledger.of(window[image_id]).missing:
            yield window.pop(image_id)


def _refuse(ledger: Ledger, request: Request, error: TooLongError) -> None:
    """The model was not asked: about all aspects at once it is too much, and one alone is what the image fails by."""
    if request.alone:
        ledger.refuse(request.question, str(error), attempts=0, at=time.time())
    else:
        nothing = Answer(None, finish_reason=REFUSED, model_version="", usage=Usage())
        ledger.record(request.question, nothing, attempts=0, seconds=0.0, at=time.time())
