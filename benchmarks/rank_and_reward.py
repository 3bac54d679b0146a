"""The ways to a score, beside what they repeat of the pipeline: `python -m benchmarks.rank_and_reward`.

The floor is describe's and features' own work on the same images, in batches of the same size. Beside it: predict and
rank, as the command line calls them, `Scorer.reward`, and predict and reward without descriptions (`fast`). All are
called in turn, three times, in one process; images, model and head are those of benchmarks/predict.py. What the server
makes of its scorer is benchmarks/serve.py.
"""

import math
import shutil
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from types import ModuleType

import pandas as pd
from transformers import logging

from benchmarks import seconds
from benchmarks.predict import BATCH, IMAGES, build
from m3agiqa.commands import predict, rank
from m3agiqa.scorer import Scorer
from m3agiqa.workspace import parts_here
from pipeline import paths
from pipeline.settings import Settings
from stages import describe, features

CANDIDATES = 8  # of a group


def ways(chosen: Settings) -> dict[str, Callable[[], object]]:
    """Each scores all images."""
    raw = paths.raw(chosen.dataset)
    table = pd.read_csv(raw / "asked.csv", dtype=str)
    table.assign(group=table.index // CANDIDATES).to_csv(raw / "grouped.csv", index=False)
    images, prompts = [raw / name for name in table["image"]], list(table["prompt"])
    grouped = "--table", str(raw / "grouped.csv"), "--group-column", "group"

    def reward(*, fast: bool) -> None:
        scorer = Scorer(parts_here(chosen.dataset), device="cpu", batch=BATCH, fast=fast)
        scorer.reward(images, prompts, aspect=chosen.aspect)

    return {
        "describe + features": partial(_stages, chosen),
        "predict": _command(chosen, predict, "--table", str(raw / "asked.csv")),
        "rank": _command(chosen, rank, *grouped),
        "reward": partial(reward, fast=False),
        "predict --fast": _command(chosen, predict, "--table", str(raw / "asked.csv"), "--fast"),
        "reward, fast": partial(reward, fast=True),
    }


def _stages(chosen: Settings) -> None:
    describe.main(chosen)
    features.main(chosen)


def _command(chosen: Settings, command: ModuleType, *words: str) -> Callable[[], object]:
    """A command that knows nothing of what it has scored before."""
    parser = ArgumentParser()
    command.add_arguments(parser)
    where = "--dataset", chosen.dataset, "--device", "cpu", "--batch", str(BATCH), "--out", "found"
    arguments = parser.parse_args([*words, *where])
    return lambda: command.run(arguments)


def main() -> None:
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        took = dict.fromkeys(several := ways(build()), math.inf)
        for _ in range(3):
            for name, work in several.items():
                for known in (".cache", "found"):
                    shutil.rmtree(known, ignore_errors=True)
                took[name] = min(took[name], seconds(work, repeats=1))
    floor, *_ = took.values()
    for name, time in took.items():
        print(
            f"{name}: {floor / time:.2f} x the images a second of describe + features ({IMAGES / time:.1f} images/s)",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
