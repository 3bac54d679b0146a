"""Captioned images of different sizes, as the stages before distill leave them in the working folder."""

from pathlib import Path

import pandas as pd

from data.tables.frames import write_table
from pipeline import paths, settings
from tests.tiny_mllm import picture

SIZES = [(32, 32), (40, 24), (64, 16), (64, 64)]
SPLITS = ["train"] * 5 + ["val"] * 3  # all others are test images


RECIPE = {"epochs": 1, "batch": 4, "lr": 1e-3, "word_weight": 8, "word_spread": 0.5, "crop": 0.7}


def project(profile: dict, images: int = 8) -> settings.Settings:
    """Every input of distill below the working folder; the settings are the checked-in ones, but for sizes."""
    profile = profile | {"recipe": RECIPE}
    checked_in = settings.load(Path(__file__).parents[1] / "params.yaml")
    values = checked_in.model_dump() | {"mllm": "tried", "teacher": "offline", "mllms": {"tried": profile}}
    values |= {"teachers": {"offline": {"kind": "offline"}}}
    values["heads"]["xlstm"] |= {"dim": 16, "hidden": 16}
    values["train"] |= {"epochs": 2, "batch": 4}
    chosen = settings.Settings.model_validate(values)

    folder = paths.raw(chosen.dataset) / "images"
    folder.mkdir(parents=True)
    rows = range(images)
    ids = [f"i{row:02}" for row in rows]
    for row, image_id in zip(rows, ids, strict=True):
        picture(row, *SIZES[row % len(SIZES)]).save(folder / f"{image_id}.png")
    samples = pd.DataFrame({"image_id": ids, "sha256": ids})
    samples["path"] = [f"images/{image_id}.png" for image_id in ids]
    samples["prompt"] = [f"{row} cats" for row in rows]
    samples[f"mos_{chosen.aspect}"] = [row / images * 5 for row in rows]
    write_table(samples, paths.samples(chosen.dataset))
    splits = SPLITS + ["test"] * (images - len(SPLITS))
    write_table(pd.DataFrame({"image_id": ids, "split": splits}), paths.splits(chosen.dataset))
    captions = pd.DataFrame({"image_id": ids[: len(SPLITS)]})
    captions[chosen.aspect] = [f"It is{' very' * row} good. It is sharp." for row in range(len(SPLITS))]
    write_table(captions, paths.captions(chosen.dataset))
    return chosen
