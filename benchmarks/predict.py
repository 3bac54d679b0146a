"""Scoring images against the stages that it repeats: `python -m benchmarks.predict`.

The floor is the stages' own work on the same images in the same batches, describe's and then features': what a user
would wait for if predict were two stages. Both run in turn, three times, in one process. Then: how long a new process
takes to its first score, and whether memory grows with the number of images.

The model is the embedded one without distillation and with an untrained head: neither changes what is computed.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from transformers import logging

from analyzers.conversation import QUESTIONS
from analyzers.mllm import LocalMLLM
from benchmarks import seconds
from data.feature_store import FeatureWriter
from finetune.heads import build_head, save_head
from scoring import familiar
from scoring.card import FORMAT, Card, head_sha256, write_card
from scoring.parts import Part
from scoring.scorer import Scorer, batches
from stages import describe, features, paths, settings

IMAGES, SIDE, BATCH = 96, 192, 32
FEW, MANY = 1000, 5000  # images, for memory
SHORT = 4  # tokens a description, for memory: it grows with images or not, whatever they say


def build(folder: Path, max_new_tokens: int) -> dict[str, Part]:
    """Write the parts of a scorer that nobody trained."""
    profile = {"model": "models/tiny", "revision": None, "dtype": "float32", "max_length": 384}
    settings_of_mllm = {name: value for name, value in profile.items() if name != "model"}
    mllm = LocalMLLM.load(profile["model"], device="cpu", **settings_of_mllm)
    save_head(build_head("xlstm", mllm.hidden_size, seed=0), folder / "head")
    card = {
        "format": FORMAT,
        "dataset": "made",
        "aspect": "quality",
        "mllm": {**profile, "max_new_tokens": max_new_tokens},
        "adapted": False,
        "identity": mllm.identity,
        "head": head_sha256(folder / "head"),
        "questions": QUESTIONS,
        "interval": {"level": 0.9, "half_width": 0.5, "coverage": None},
        "familiar": {
            "limits": familiar.limits_of([familiar.facts(_picture(0))]),
            "prompt_characters": 100,
            "distance": 1.0,
        },
        "scale": (0.0, 5.0),
        "figures": {},
        "made_with": {},
    }
    write_card(Card.model_validate(card), folder / "card.json")
    return {"quality": Part(folder / "card.json", folder / "adapter", folder / "head")}


def stages_work(scorer: Scorer, table: pd.DataFrame, chosen: settings.Settings, out: Path) -> None:
    """What describe and features do with each batch, to the features on the disk."""
    student = scorer.loaded("quality").student
    order = [row for rows in batches(list(table["prompt"]), BATCH) for row in rows]
    said = []
    for start in range(0, len(order), BATCH):
        batch = table.iloc[order[start : start + BATCH]]
        said.append(pd.DataFrame(describe._answers(student, batch, chosen), index=batch.index))  # noqa: SLF001
    described = table.join(pd.concat(said)).set_index("image_id")
    writer = FeatureWriter(out, {}, list(described.index))
    for part in writer.missing():
        writer.write(part, features._states(student, described.loc[list(part.image_ids)], chosen))  # noqa: SLF001
    for path in out.iterdir():
        path.unlink()


def speed(folder: Path) -> None:
    chosen = settings.load()
    chosen = chosen.model_copy(
        update={"dataset": "made", "runtime": chosen.runtime.model_copy(update={"batch": BATCH})}
    )
    paths.raw = lambda _: folder  # where the images of this benchmark lie
    for number in range(IMAGES):
        _picture(number).save(folder / f"{number}.png")
    prompts = [f"{number} red cubes on a table " + "and a ball " * (number % 8) for number in range(IMAGES)]
    names = [f"{number}.png" for number in range(IMAGES)]
    table = pd.DataFrame({"image_id": names, "path": names, "prompt": prompts})
    scorer = Scorer(build(folder, chosen.mllms["tiny"].max_new_tokens), device="cpu", batch=BATCH)
    files = [folder / name for name in names]
    ours, floor = [], []
    for _ in range(3):
        ours.append(seconds(lambda: scorer(files, prompts, aspect="quality"), repeats=1))
        floor.append(seconds(lambda: stages_work(scorer, table, chosen, folder / "features"), repeats=1))
    print(
        f"predict: {min(floor) / min(ours):.2f} x the images a second of describe + features "
        f"({IMAGES / min(ours):.1f} and {IMAGES / min(floor):.1f} images/s, batches of {BATCH})"
    )


def first_score(folder: Path) -> None:
    """Score one image, and end."""
    Scorer(_parts(folder), device="cpu")([folder / "0.png"], ["a red cube"], aspect="quality")


def many(folder: Path, images: int) -> None:
    Scorer(_parts(folder), device="cpu")([folder / "0.png"] * images, ["a red cube"] * images, aspect="quality")


def _parts(folder: Path) -> dict[str, Part]:
    return {"quality": Part(folder / "card.json", folder / "adapter", folder / "head")}


def _picture(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def _process(*arguments: str) -> float:
    """Peak memory, in MB, of a process that does one thing."""
    command = [sys.executable, "-m", "benchmarks.predict", *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speed(folder)
        start = time.perf_counter()
        _process("first", name)
        print(f"first score: {time.perf_counter() - start:.1f} s after the start of a new process")
    with tempfile.TemporaryDirectory() as name:
        _picture(0).save(Path(name) / "0.png")
        build(Path(name), SHORT)
        few, lots = (_process("many", name, str(images)) for images in (FEW, MANY))
        print(f"memory: {lots / few:.2f} x for {MANY / FEW:.0f} x the images ({few:.0f} MB, {lots:.0f} MB)")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        {"first": first_score, "many": lambda folder: many(folder, int(sys.argv[3]))}[sys.argv[1]](Path(sys.argv[2]))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)  # Linux counts in KiB
    else:
        main()
