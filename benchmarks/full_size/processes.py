"""`predict --processes 2` beside one process, on a full-size model: `python -m benchmarks.full_size.processes`.

Images and texts are of many lengths; the model's random weights lie on the disk (17 GB), from where each process loads
them. Start-up is apart, each worker's first batch included, for which it compiles. Without two GPUs it is a tiny model
on the CPU, which shows that it works and no more.
"""

import tempfile
from contextlib import chdir
from pathlib import Path

from transformers import logging

from benchmarks.full_size import model
from benchmarks.full_size.machine import ON_GPU
from benchmarks.predict import untrained
from benchmarks.processes import compare
from pipeline import paths

BATCH, TIMES, MOST = (32, 12, 100) if ON_GPU else (4, 2, 8)  # images at once, how often all are taken, tokens described


def main() -> None:
    logging.disable_progress_bar()
    chosen = model.settings(BATCH, MOST)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        raw = paths.raw(chosen.dataset)
        raw.mkdir(parents=True)
        table = model.over_again(model.images(raw.absolute(), uneven=True), TIMES)
        profile = chosen.mllms[chosen.mllm].model_copy(update=_saved(Path("model").absolute()))
        chosen = chosen.model_copy(update={"mllms": {chosen.mllm: profile}})
        untrained(chosen, table["path"].tolist(), table["prompt"].tolist())
        compare(chosen, BATCH, rounds=1)


def _saved(folder: Path) -> dict[str, object]:
    """What a profile says of the model, which then lies in `folder`."""
    folder.mkdir()
    student = model.student(folder)
    for weights in folder.glob("*.safetensors"):  # of the tests' tiny one
        weights.unlink()
    student.model.save_pretrained(str(folder))
    dtype = str(student.dtype).removeprefix("torch.")
    return {
        "model": str(folder),
        "dtype": dtype,
        "max_length": student.max_length,
        "fewer_views": student.fewer_views,
    }


if __name__ == "__main__":
    main()
