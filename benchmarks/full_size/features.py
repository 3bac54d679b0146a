"""The features stage's own loop, from JPEG files to Parquet parts: FLOPs that count beside the ceiling."""

import tempfile
import time
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from PIL import Image

from benchmarks.full_size import machine
from benchmarks.full_size.machine import ON_GPU, Ceilings
from benchmarks.full_size.model import flops as flops_of
from benchmarks.full_size.model import over_again
from benchmarks.full_size.model import settings as settings_of
from data.feature_store.writer import FeatureWriter
from finetune.student import longest_first
from m3agiqa.mllm.conversation import conversation
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.readings import Inputs
from stages.features import states

IMAGES, BATCH = (1536, 16) if ON_GPU else (16, 4)


def measure(student: LocalMLLM, table: pd.DataFrame, ceilings: Ceilings) -> None:
    an_image = flops_of(student, table)
    flops = an_image.seen + an_image.read
    many = over_again(table, IMAGES // len(table))
    some = many.iloc[: IMAGES // 4]
    for kind in ("as it comes", "compiled"):
        if kind == "compiled":
            student.compile()
        forward = _forward(student, some) / len(some)
        _report(f"forward alone, {kind}", forward, flops, ceilings)
    _stage(student, table, BATCH)  # the files are in memory, the kernels chosen
    machine.forget_peak()
    stage = _stage(student, many, BATCH) / IMAGES
    _report("features, decoding and Parquet included", stage, flops, ceilings)
    print(f"the network worked {forward / stage:.0%} of the time", flush=True)
    peaks = {batch: machine.peak_of(partial(_stage, student, some, batch)) for batch in (BATCH // 2, BATCH)}
    print(f"features, memory: {machine.largest_batches(peaks)}", flush=True)


def _forward(student: LocalMLLM, table: pd.DataFrame) -> float:
    """Seconds of the passes over inputs that are made already, in batches as the stage makes them."""
    made: list[Inputs] = []
    rows = longest_first(student, table, settings_of(BATCH).aspect, Path())
    for start in range(0, len(rows), BATCH):
        batch = rows.iloc[start : start + BATCH]
        asked = [conversation("quality", *texts) for texts in zip(batch["prompt"], batch["description"], strict=True)]
        made += student.inputs([Image.open(path) for path in batch["path"]], asked)

    def run() -> None:
        with torch.inference_mode():
            for inputs in made:
                student._states(inputs)  # noqa: SLF001 (the pass, and no copy of what it gives)

    run()
    return min(machine.seconds(run) for _ in range(3))


def _stage(student: LocalMLLM, rows: pd.DataFrame, batch: int) -> float:
    """Seconds of the stage's loop over the images of `rows`."""
    settings = settings_of(batch)
    rows = longest_first(student, rows, settings.aspect, Path())
    with tempfile.TemporaryDirectory() as folder:
        writer = FeatureWriter(Path(folder), {}, list(rows.index))
        missing = writer.missing()
        start = time.perf_counter()
        parts = states(student, [rows.loc[list(part.image_ids)] for part in missing], settings, Path())
        for part in missing:
            writer.write(part, next(parts))
        return time.perf_counter() - start


def _report(what: str, seconds: float, flops: float, ceilings: Ceilings) -> None:
    print(
        f"{what}: batch {BATCH}, {1e3 * seconds:.1f} ms an image, "
        f"{flops / seconds / ceilings.flops:.0%} of the ceiling, {machine.at_most()}",
        flush=True,
    )
