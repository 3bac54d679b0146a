"""What several processes score beside one: `python -m benchmarks.processes`.

The floor is one process of two threads. Two of one thread each, as `predict --processes 2` has them on two cores, score
the same batches; all have loaded the model before. Where there are two GPUs, each process has one. The fastest of three
rounds counts.
Images, model and head are those of benchmarks/predict.py.
"""

import os
import sys
import tempfile
from functools import partial

import pandas as pd
import torch
from transformers import logging

from benchmarks import seconds
from benchmarks.predict import IMAGES, build
from m3agiqa.asking import Asked, Tell, told_here
from m3agiqa.batches import batches
from m3agiqa.scorer import Scorer
from m3agiqa.workers import Workers, devices
from m3agiqa.workspace import parts_here
from pipeline import paths

THREADS, BATCH = 2, 8  # 12 batches: 6 for each of two processes


def main() -> None:
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        before = os.getcwd()
        os.chdir(folder)
        compare(build().dataset)
        os.chdir(before)


def compare(dataset: str) -> None:
    """Print how many images a second two processes score, one, and the ratio."""
    torch.set_num_threads(THREADS)
    name = "cuda" if torch.cuda.device_count() >= THREADS else "cpu"
    scorers = [Scorer(parts_here(dataset), device=device, batch=BATCH) for device in devices(name, THREADS)]
    scorer = scorers[0]
    work = _work(dataset, scorer)
    with Workers(scorers) as workers:
        here = partial(told_here, scorer)
        for tell in (workers.told, here):
            _all(tell, work[:THREADS])  # loads the model
        two, one = (seconds(partial(_all, tell, work)) for tell in (workers.told, here))
    print(
        f"processes: {one / two:.2f} x the images a second of one process of {THREADS} threads, by {THREADS} of one "
        f"on {scorer.device} ({IMAGES / two:.1f} and {IMAGES / one:.1f} images/s, batches of {BATCH})",
        file=sys.stderr,
    )


def _work(dataset: str, scorer: Scorer) -> list[Asked]:
    table = pd.read_csv(paths.raw(dataset) / "asked.csv", dtype=str)
    prompts = table["prompt"].tolist()
    images = [(paths.raw(dataset) / name, prompt) for name, prompt in zip(table["image"], prompts, strict=True)]
    part = parts_here(dataset)[scorer.aspects[0]]
    cut = batches(part, [path for path, _ in images], prompts, BATCH)
    return [Asked(rows, [images[row] for row in rows], [scorer.aspects] * len(rows)) for rows in cut]


def _all(tell: Tell, work: list[Asked]) -> None:
    for _ in tell(work):
        pass


if __name__ == "__main__":
    main()
