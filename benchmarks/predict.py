"""Scoring images against the stages that it repeats: `python -m benchmarks.predict`.

The floor is describe's and features' own work on the same images in batches of the same size, to the features on the
disk: predict does the same, and the head and its three files besides. All are called as the command line calls them, in
turn, three times, in one process. Then: how long a new process takes to its first score, and whether memory grows with
the number of images.

The model is the embedded one without distillation and with an untrained head: neither changes how much is computed.
"""

import math
import os
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from transformers import logging

from benchmarks import peak_memory, seconds
from data.tables.frames import SAMPLE_COLUMNS, write_table
from m3agiqa.card import FORMAT, Card, head_sha256, write_card
from m3agiqa.commands import predict
from m3agiqa.head.model import build_head, save_head
from m3agiqa.mllm.conversation import QUESTIONS
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.scorer import Scorer
from m3agiqa.warnings.images import facts, limits_of
from m3agiqa.workspace import parts_here
from pipeline import paths, settings
from stages import describe, features

ROOT = Path(__file__).parents[1]
IMAGES, SIDE, BATCH = 96, 192, 32
FEW, MANY = 1000, 5000  # images, for memory
SHORT = 4  # tokens a description, for memory: it grows with images or not, whatever they say


def build(max_new_tokens: int | None = None) -> settings.Settings:
    """Make a workspace of the working folder: images, their table, and a scorer of quality that nobody trained."""
    chosen = settings.load(ROOT / "params.yaml")
    profile = chosen.mllms["tiny"].model_copy(update={"model": str(ROOT / "models/tiny")})
    if max_new_tokens:
        profile = profile.model_copy(update={"max_new_tokens": max_new_tokens})
    runtime = chosen.runtime.model_copy(update={"batch": BATCH, "device": "cpu"})
    chosen = chosen.model_copy(update={"mllm": "tiny", "mllms": {"tiny": profile}, "runtime": runtime})
    dataset, aspect = chosen.dataset, chosen.aspect

    names = [f"{number}.png" for number in range(IMAGES)]
    prompts = [f"{number} red cubes on a table " + "and a ball " * (number % 8) for number in range(IMAGES)]
    columns = dict.fromkeys(SAMPLE_COLUMNS, "") | {"image_id": names, "path": names, "sha256": names, "prompt": prompts}
    write_table(pd.DataFrame(columns).assign(**{f"mos_{aspect}": 1.0, f"std_{aspect}": 0.0}), paths.samples(dataset))
    for number, name in enumerate(names):
        _picture(number).save(paths.raw(dataset) / name)
    pd.DataFrame({"image": names, "prompt": prompts}).to_csv(paths.raw(dataset) / "asked.csv", index=False)

    mllm = LocalMLLM.load(profile, device="cpu")
    paths.adapter(dataset, aspect).mkdir(parents=True)
    save_head(build_head("xlstm", mllm.hidden_size, seed=0), paths.head(dataset, aspect))
    limits = limits_of([facts(_picture(0))])
    width = mllm.hidden_size
    content = {"tokens": 36, "mean": [0.0] * width, "scale": [1.0] * width, "distance": 1.0}
    card = {
        "format": FORMAT,
        "dataset": dataset,
        "aspect": aspect,
        "mllm": profile.profile,
        "adapted": False,
        "identity": mllm.identity,
        "head": head_sha256(paths.head(dataset, aspect)),
        "questions": QUESTIONS,
        "interval": {"level": 0.9, "half_width": 0.5, "coverage": None},
        "world": "real",
        "familiar": {"limits": limits, "prompt_characters": (0, 200), "content": content},
        "scale": (0.0, 5.0),
        "figures": {},
        "made_with": {},
        "made_on": {},
    }
    write_card(Card.model_validate(card), paths.card(dataset, aspect))
    return chosen


def speed(chosen: settings.Settings) -> None:
    """Print how many images a second, and the ratio."""
    parser = ArgumentParser()
    predict.add_arguments(parser)
    table = str(paths.raw(chosen.dataset) / "asked.csv")
    arguments = parser.parse_args(
        ["--table", table, "--dataset", chosen.dataset, "--device", "cpu", "--batch", str(BATCH)]
    )

    def ours() -> None:
        shutil.rmtree(arguments.out, ignore_errors=True)  # and what it knows
        predict.run(arguments)

    def floor() -> None:
        describe.main(chosen)
        features.main(chosen)

    mine = theirs = math.inf
    for _ in range(3):
        for_ours, for_floor = _anew(ours), _anew(floor)
        mine, theirs = min(mine, for_ours), min(theirs, for_floor)
    print(
        f"predict: {theirs / mine:.2f} x the images a second of describe + features "
        f"({IMAGES / mine:.1f} and {IMAGES / theirs:.1f} images/s, batches of {BATCH})",
        file=sys.stderr,
    )


def _anew(work: Callable[[], object]) -> float:
    """Seconds of a run that knows nothing of the one before."""
    shutil.rmtree(".cache", ignore_errors=True)
    return seconds(work, repeats=1)


def many(images: int) -> None:
    """Score that many images, in this process."""
    dataset = settings.load(ROOT / "params.yaml").dataset
    scorer = Scorer(parts_here(dataset), device="cpu", batch=BATCH)
    scorer([paths.raw(dataset) / "0.png"] * images, ["a red cube"] * images, aspect=scorer.aspects[0])


def _picture(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def _peak(images: int) -> float:
    """Peak memory, in MB, of a new process that scores that many images."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.predict", str(images)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def main() -> None:
    logging.disable_progress_bar()
    for work in (_speed_and_start, _memory):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            work()
            os.chdir(ROOT)


def _speed_and_start() -> None:
    speed(build())
    print(f"first score: {seconds(lambda: _peak(1)):.1f} s after the start of a new process", file=sys.stderr)


def _memory() -> None:
    build(SHORT)
    few, lots = _peak(FEW), _peak(MANY)
    print(
        f"memory: {lots / few:.2f} x for {MANY / FEW:.0f} x the images ({few:.0f} and {lots:.0f} MB)", file=sys.stderr
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        many(int(sys.argv[1]))
        print(peak_memory())
    else:
        main()
