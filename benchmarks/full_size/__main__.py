"""One measurement (features, describe, predict, lora or lora_twice) beside the ceilings of the machine at hand.

`python -m benchmarks.full_size features uneven` takes images and texts of many lengths, as real ones are, instead of
those that are all alike.
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from benchmarks.full_size import describe, features, lora, machine, model, predict
from m3agiqa.mllm.model import LocalMLLM

PARTS: dict[str, Callable[[LocalMLLM, pd.DataFrame, machine.Ceilings], None]] = {
    "features": features.measure,
    "describe": describe.measure,
    "predict": predict.measure,
    "lora": lora.measure,
    "lora_twice": partial(lora.measure, twice=True),
}


def main() -> None:
    part, uneven = PARTS[sys.argv[1]], sys.argv[2:] == ["uneven"]  # one a process: what is compiled stays so
    ceilings = machine.ceilings()
    where = torch.cuda.get_device_name() if machine.ON_GPU else "a CPU, so in small, and nothing is compiled"
    print(f"{where}, torch {torch.__version__}", flush=True)
    print(
        f"ceilings: {ceilings.flops / 1e12:.3g} TFLOP/s ({machine.SIDE}³ product), "
        f"{ceilings.bytes / 1e12:.3g} TB/s (copy)"
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").mkdir()
        student = model.student(Path(folder) / "model")
        table = model.images(Path(folder), uneven=uneven)
        each = model.flops(student, table)
        print(
            f"images {'of many sizes' if uneven else f'of {model.SIZE} px'}, {each.tokens:.0f} tokens on average; "
            f"TFLOP an image: {each.seen / 1e12:.3g} to see it, {each.read / 1e12:.3g} to read it",
            flush=True,
        )
        part(student, table, ceilings)


if __name__ == "__main__":
    main()
