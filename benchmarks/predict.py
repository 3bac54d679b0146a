"""What scoring takes beside its time: `python -m benchmarks.predict`.

How long a new process takes to its first score, whether memory grows with the number of images, and what three aspects
on one base model take beside three scorers with a base model each. How many images a second: rank_and_reward.py.

The model is the embedded one without distillation and with an untrained head: neither changes how much is computed. The
three aspects have LoRA matrices of the profile's size, as they are drawn.
"""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from transformers import logging

from benchmarks import peak_memory, seconds
from data.tables.frames import SAMPLE_COLUMNS, write_table
from m3agiqa.aspects import ASPECTS
from m3agiqa.card import FORMAT, Card, head_sha256, read_card, write_card
from m3agiqa.device import device
from m3agiqa.head.model import build_head, save_head
from m3agiqa.mllm import adapters
from m3agiqa.mllm.conversation import QUESTIONS
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.parts import Part
from m3agiqa.scorer import Scorer
from m3agiqa.warnings.images import facts, limits_of
from m3agiqa.workspace import parts_here
from pipeline import paths, settings
from pipeline.settings import Settings

ROOT = Path(__file__).parents[1]
IMAGES, SIDE, BATCH = 96, 192, 32
FEW, MANY = 1000, 5000  # images, for memory
SHORT = 4  # tokens a description, for memory: it grows with images or not, whatever they say


def build(max_new_tokens: int | None = None) -> Settings:
    """Make a workspace of the working folder: images, and what `untrained` adds to them."""
    chosen = settings.load(ROOT / "params.yaml")
    profile = chosen.mllms["tiny"].model_copy(update={"model": str(ROOT / "models/tiny")})
    if max_new_tokens:
        profile = profile.model_copy(update={"max_new_tokens": max_new_tokens})
    runtime = chosen.runtime.model_copy(update={"batch": BATCH, "device": "cpu"})
    chosen = chosen.model_copy(update={"mllm": "tiny", "mllms": {"tiny": profile}, "runtime": runtime})

    raw = paths.raw(chosen.dataset)
    raw.mkdir(parents=True)
    for number in range(IMAGES):
        _picture(number).save(raw / f"{number}.png")
    prompts = [f"{number} red cubes on a table " + "and a ball " * (number % 8) for number in range(IMAGES)]
    untrained(chosen, [f"{number}.png" for number in range(IMAGES)], prompts)
    return chosen


def untrained(chosen: Settings, names: list[str], prompts: list[str]) -> None:
    """Beside the images of a data set, their table and a scorer of the aspect that nobody trained."""
    dataset, aspect, profile = chosen.dataset, chosen.aspect, chosen.mllms[chosen.mllm]
    raw, rows = paths.raw(dataset), [str(row) for row in range(len(names))]
    columns = dict.fromkeys(SAMPLE_COLUMNS, "") | {"image_id": rows, "path": names, "sha256": rows, "prompt": prompts}
    write_table(pd.DataFrame(columns).assign(**{f"mos_{aspect}": 1.0, f"std_{aspect}": 0.0}), paths.samples(dataset))
    pd.DataFrame({"image": names, "prompt": prompts}).to_csv(raw / "asked.csv", index=False)

    mllm = LocalMLLM.load(profile.profile, device=device(chosen.runtime.device))
    paths.adapter(dataset, aspect).mkdir(parents=True)
    sure = {
        "interval": {"level": 0.9, "half_width": 0.5, "coverage": None},
        "preference": {"spread": 0.5, "within_prompts": True},
    }
    heads = {}
    for name, folder in (("head", paths.head), ("fast_head", paths.fast_head)):
        save_head(build_head("xlstm", mllm.hidden_size, seed=0), folder(dataset, aspect))
        heads[name] = {"sha256": head_sha256(folder(dataset, aspect)), **sure}
    with Image.open(raw / names[0]) as first:
        limits = limits_of([facts(first.convert("RGB"))])
    width = mllm.hidden_size
    content = {"tokens": 36, "mean": [0.0] * width, "scale": [1.0] * width, "distance": 1.0}
    card = {
        "format": FORMAT,
        "dataset": dataset,
        "aspect": aspect,
        "mllm": profile.profile,
        "adapted": False,
        "identity": mllm.identity,
        **heads,
        "questions": QUESTIONS,
        "world": "real",
        "mos": (0.0, 5.0),
        "familiar": {"limits": limits, "prompt_characters": (0, 200), "content": content},
        "scale": (0.0, 5.0),
        "figures": {},
        "made_with": {},
        "made_on": {},
    }
    write_card(Card.model_validate(card), paths.card(dataset, aspect))


def many(images: int) -> None:
    """Score that many images, in this process."""
    dataset = settings.load(ROOT / "params.yaml").dataset
    scorer = Scorer(parts_here(dataset), device="cpu", batch=BATCH)
    scorer([paths.raw(dataset) / "0.png"] * images, ["a red cube"] * images, aspect=scorer.aspects[0])


def build_three(chosen: Settings) -> None:
    """Give each aspect a card and an adapter of its own beside the one head."""
    profile = chosen.mllms["tiny"]
    for seed, (aspect, part) in enumerate(_three().items()):
        student = LocalMLLM.load(profile.profile, device="cpu")
        adapters.save(student.add_lora(profile.lora, seed=seed), part.adapter)
        identity = LocalMLLM.load(profile.profile, device="cpu", adapter=part.adapter).identity
        facts = {"aspect": aspect, "adapted": True, "identity": identity}
        write_card(read_card(paths.card(chosen.dataset, chosen.aspect)).model_copy(update=facts), part.card)


def three(how: str) -> None:
    """Score all images on three aspects, in this process: "together", or "apart" by a scorer each; print s and MB."""
    dataset, parts = settings.load(ROOT / "params.yaml").dataset, _three()
    table = pd.read_csv(paths.raw(dataset) / "asked.csv")
    images, prompts = [paths.raw(dataset) / name for name in table["image"]], list(table["prompt"])
    groups = [parts] if how == "together" else [{aspect: part} for aspect, part in parts.items()]
    scorers = [Scorer(group, device="cpu", batch=BATCH) for group in groups]
    took = seconds(lambda: [scorer.all(images, prompts) for scorer in scorers])
    print(json.dumps([took, peak_memory()]))


def _three() -> dict[str, Part]:
    """Where they lie, all with the head and the model of the one aspect that `build` makes."""
    (part,) = parts_here().values()
    folders = {aspect: Path("three") / aspect for aspect in ASPECTS}
    return {aspect: replace(part, card=at / "card.json", adapter=at) for aspect, at in folders.items()}


def _picture(seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def _peak(images: int) -> float:
    """Peak memory, in MB, of a new process that scores that many images."""
    return float(_said(str(images)))


def _said(argument: str) -> str:
    """What a new process prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.predict", argument]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def main() -> None:
    logging.disable_progress_bar()
    for work in (_start, _memory, _aspects):
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            work()


def _start() -> None:
    build()
    print(f"first score: {seconds(lambda: _peak(1)):.1f} s after the start of a new process", file=sys.stderr)


def _memory() -> None:
    build(SHORT)
    few, lots = _peak(FEW), _peak(MANY)
    print(
        f"memory: {lots / few:.2f} x for {MANY / FEW:.0f} x the images ({few:.0f} and {lots:.0f} MB)", file=sys.stderr
    )


def _aspects() -> None:
    build_three(build())
    (time, memory), (times, memories) = (json.loads(_said(how)) for how in ("together", "apart"))
    print(
        f"three aspects: {time / times:.2f} x the time and {memory / memories:.2f} x the memory of three scorers "
        f"({time:.1f} and {times:.1f} s for {IMAGES} images, {memory:.0f} and {memories:.0f} MB)",
        file=sys.stderr,
    )


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].isdigit():
        three(sys.argv[1])
    elif len(sys.argv) > 1:
        many(int(sys.argv[1]))
        print(peak_memory())
    else:
        main()
