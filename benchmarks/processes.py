"""What several processes score beside one: `python -m benchmarks.processes`.

The floor is one process of two threads. Two of one thread each, as `predict --processes 2` has them on two cores, score
the same batches; all have loaded the model before. Where there are two GPUs, each process has one. The fastest of three
rounds counts.
Images, model and head are those of benchmarks/predict.py; benchmarks/full_size/processes.py has large ones.
"""

import sys
import tempfile
from contextlib import chdir
from functools import partial

import pandas as pd
import torch
from transformers import logging

from benchmarks import seconds
from benchmarks.predict import build
from m3agiqa.asking import Asked, Tell, told_here
from m3agiqa.batches import batches
from m3agiqa.scorer import Scorer
from m3agiqa.workers import Workers, devices
from m3agiqa.workspace import parts_here
from pipeline import paths
from pipeline.settings import Settings

PROCESSES, BATCH = 2, 8  # 12 batches: 6 for each process


def main() -> None:
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        compare(build(), BATCH, rounds=3)


def compare(chosen: Settings, batch: int, rounds: int) -> None:
    """Print how many images a second two processes score, one, and the ratio."""
    name = "cuda" if torch.cuda.device_count() >= PROCESSES else "cpu"
    if name == "cpu":
        torch.set_num_threads(PROCESSES)
    parts = parts_here(chosen.dataset)
    scorers = [Scorer(parts, device=device, batch=batch) for device in devices(name, PROCESSES)]
    scorer = scorers[0]
    work = _work(chosen.dataset, scorer)
    images = sum(len(asked.images) for asked in work)
    with Workers(scorers) as workers:
        here = partial(told_here, scorer)
        for tell in (workers.told, here):
            _all(tell, work[:PROCESSES])  # loads the model
        several, one = (seconds(partial(_all, tell, work), rounds) for tell in (workers.told, here))
    print(
        f"processes: {one / several:.2f} x the images a second of one process, by {PROCESSES} on {name} "
        f"({images / several:.1f} and {images / one:.1f} images/s, {images} images, batches of {batch})",
        file=sys.stderr,
    )


def _work(dataset: str, scorer: Scorer) -> list[Asked]:
    table = pd.read_csv(paths.raw(dataset) / "asked.csv", dtype=str)
    prompts = table["prompt"].tolist()
    images = [(paths.raw(dataset) / name, prompt) for name, prompt in zip(table["image"], prompts, strict=True)]
    part = parts_here(dataset)[scorer.aspects[0]]
    cut = batches(part, [path for path, _ in images], prompts, scorer.batch)
    return [Asked(rows, [images[row] for row in rows], [scorer.aspects] * len(rows)) for rows in cut]


def _all(tell: Tell, work: list[Asked]) -> None:
    for asked, told in tell(work):
        if failed := [score.status for score in told[next(iter(told))].values() if score.score is None]:
            raise RuntimeError(f"{asked.rows}: {failed[0]}")


if __name__ == "__main__":
    main()
