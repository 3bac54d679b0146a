"""Work of several processes, each on a GPU of its own: `python -m benchmarks.full_size.together describe 2`, then 1.

Or features, distill, distill_twice: the stages' own loops on each process's share, as pipeline/processes.py cuts it, on
images and texts of many lengths. Start-up is apart: until all have loaded the model, compiled it and done their first
batch; then all begin at once, and the last one's end counts. A step of distill is the mean that lora.py tells, with
activations kept, or computed twice with a module trained in full; one process learns from as many images at once as
each of two. Without GPUs two processes of the CPU do so little that it shows that it works.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from accelerate import PartialState

from benchmarks.full_size import model
from benchmarks.full_size.lora import step
from benchmarks.full_size.machine import ON_GPU, where
from benchmarks.full_size.model import over_again
from finetune.student import longest_first
from m3agiqa.mllm import gpu
from m3agiqa.mllm.model import LocalMLLM
from pipeline.processes import launch, process, share
from pipeline.ranks import RANK
from pipeline.settings import Settings
from stages import describe, features

STARTED = time.perf_counter()
BATCH, PART, TIMES = (32, 64, 16) if ON_GPU else (4, 8, 2)  # images at once, of a part, and how often all are taken
LEARNED, AT_ONCE = (16, 8) if ON_GPU else (4, 2)  # images a step of distill, of all processes; at once in one of them
SAVED = ["resampler"]  # trained in full
MOST = 100 if ON_GPU else 8  # tokens of a description


def measure(part: str) -> None:
    """One process's work, beside the others'."""
    here = process(where().type)
    settings = model.settings(BATCH, MOST)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").mkdir()
        student = model.student(Path(folder) / "model")
        table = model.images(Path(folder), uneven=True)
        PARTS[part](student, table, settings)
    here.wait_for_everyone()
    here.destroy_process_group()


def _describe(student: LocalMLLM, table: pd.DataFrame, settings: Settings) -> None:
    if ON_GPU:
        student.graph = gpu.StepGraph(student.model)  # type: ignore[arg-type]  # no adapter lies on it
    many = over_again(table, TIMES)
    batches = describe.batches(student, many.reset_index(names="image_id"), settings, Path())
    own = share(batches)

    def run(some: list[pd.DataFrame]) -> None:
        for _ in describe.answers(student, some, settings, Path()):
            pass

    _report("describe", run, batches[:1], list(own), sum(map(len, batches)))


def _features(student: LocalMLLM, table: pd.DataFrame, settings: Settings) -> None:
    student.compile()
    many = longest_first(student, over_again(table, 2 * TIMES), settings.aspect, Path())
    parts = [many.iloc[start : start + PART] for start in range(0, len(many), PART)]
    own = share(parts)

    def run(some: list[pd.DataFrame]) -> None:
        for _ in features.states(student, some, settings, Path()):
            pass

    _report("features", run, parts[:1], list(own), sum(map(len, parts)))


def _report(
    what: str,
    run: Callable[[list[pd.DataFrame]], None],
    first: list[pd.DataFrame],
    own: list[pd.DataFrame],
    images: int,
) -> None:
    here = PartialState()
    run(first)
    here.wait_for_everyone()
    start = time.perf_counter()
    run(own)
    here.wait_for_everyone()
    seconds = time.perf_counter() - start
    if here.is_main_process:
        print(
            f"{what}: {here.num_processes} processes, {images / seconds:.2f} images a second, "
            f"{images} images in {seconds:.1f} s, after {start - STARTED:.0f} s",
            flush=True,
        )


def _distill(student: LocalMLLM, table: pd.DataFrame, settings: Settings, *, twice: bool = False) -> None:
    lora = settings.mllms["minicpm-llama3-v-2_5"].lora.model_copy(update={"modules_to_save": SAVED if twice else []})
    learner = student.add_lora(lora, seed=0)
    if twice:
        student.compute_twice()
    else:
        student.compile()
    here, loaded = PartialState(), time.perf_counter() - STARTED
    seconds = step(student, learner, table, LEARNED, AT_ONCE)
    if here.is_main_process:
        how = ", activations computed twice, the resampler trained in full" if twice else ""
        print(
            f"distill{how}: {here.num_processes} processes, {LEARNED / seconds:.2f} images a second, "
            f"{seconds:.2f} s a step of {LEARNED}, {AT_ONCE} at once; "
            f"loaded after {loaded:.0f} s, done after {time.perf_counter() - STARTED:.0f} s",
            flush=True,
        )


def _distill_twice(student: LocalMLLM, table: pd.DataFrame, settings: Settings) -> None:
    _distill(student, table, settings, twice=True)


PARTS: dict[str, Callable[[LocalMLLM, pd.DataFrame, Settings], None]] = {
    "describe": _describe,
    "features": _features,
    "distill": _distill,
    "distill_twice": _distill_twice,
}


if __name__ == "__main__":
    if RANK in os.environ:
        measure(os.environ["PART"])
    else:
        os.environ["PART"] = sys.argv[1]
        launch("benchmarks.full_size.together", int(sys.argv[2]))
