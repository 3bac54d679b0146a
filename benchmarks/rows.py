"""What grows with the rows of a table: `python -m benchmarks.rows`.

`m3agiqa predict` on tables of 1,000, 10,000 and 100,000 rows, which show 96 pictures over and over, each table in a new
process: seconds and peak memory. Each picture with its prompt is scored once, so that what is measured is reading,
looking up and writing. Then the largest table with one row more, whose other rows are known.
Images, model and head are those of benchmarks/predict.py.
"""

import json
import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from transformers import logging

from benchmarks import peak_memory, seconds
from benchmarks.predict import BATCH, ROOT, SHORT, SIDE, build
from m3agiqa.commands import predict
from pipeline import paths
from pipeline.settings import Settings

ROWS = (1_000, 10_000, 100_000)


def score(dataset: str, table: str) -> None:
    """Score a table in this process; print s and MB."""
    logging.disable_progress_bar()
    parser = ArgumentParser()
    predict.add_arguments(parser)
    words = "--table", table, "--dataset", dataset, "--device", "cpu", "--batch", str(BATCH), "--out", Path(table).stem
    arguments = parser.parse_args(words)
    print(json.dumps([seconds(lambda: predict.run(arguments), repeats=1), peak_memory()]))


def measure(chosen: Settings) -> None:
    raw = paths.raw(chosen.dataset)
    few = pd.read_csv(raw / "asked.csv", dtype=str)
    found = {}
    for rows in ROWS:
        table = few.iloc[[row % len(few) for row in range(rows)]]
        found[rows] = _took(chosen, table, raw / f"{rows}.csv")
        time, memory = found[rows]
        print(f"{rows:,} rows: {time:.1f} s, {memory:.0f} MB", file=sys.stderr)
    random = np.random.default_rng(1)
    Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(raw / "new.png")
    time, memory = _took(chosen, pd.concat([table, few.head(1).assign(image="new.png")]), raw / f"{rows}.csv")
    print(f"one row more: {time:.1f} s, {memory:.0f} MB", file=sys.stderr)
    (_, least), *_, (_, most) = found.values()
    print(f"memory: {most / least:.2f} x for {ROWS[-1] / ROWS[0]:.0f} x the rows", file=sys.stderr)


def _took(chosen: Settings, table: pd.DataFrame, path: Path) -> tuple[float, float]:
    """Seconds and MB of a new process that scores `table`, written to `path`."""
    table.to_csv(path, index=False)
    command = [sys.executable, "-m", "benchmarks.rows", chosen.dataset, str(path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    time, memory = json.loads(ran.stdout.splitlines()[-1])
    return time, memory


def main() -> None:
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        measure(build(SHORT))


if __name__ == "__main__":
    score(*sys.argv[1:]) if len(sys.argv) > 1 else main()
