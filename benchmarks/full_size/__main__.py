"""One measurement (features, describe, lora or lora_twice) beside the ceilings of the machine at hand."""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from benchmarks.full_size import describe, features, lora, machine, model
from m3agiqa.mllm.model import LocalMLLM

PARTS: dict[str, Callable[[LocalMLLM, pd.DataFrame, machine.Ceilings], None]] = {
    "features": features.measure,
    "describe": describe.measure,
    "lora": lora.measure,
    "lora_twice": partial(lora.measure, twice=True),
}


def main() -> None:
    part = PARTS[sys.argv[1]]  # one a process: what is compiled stays so
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
        table = model.images(Path(folder))
        tokens = model.tokens(student, table)
        print(
            f"{model.SIZE} px images, 1 + 6 views, {tokens} tokens; TFLOP an image: "
            f"{model.vision_flops() / 1e12:.3g} to see it, {model.llama_flops(tokens) / 1e12:.3g} to read it",
            flush=True,
        )
        part(student, table, ceilings)


if __name__ == "__main__":
    main()
