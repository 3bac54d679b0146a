"""A tiny project whose student describes two aspects of an image before it rates one of them."""

from pathlib import Path

from data.tables.frames import read_table, write_table
from pipeline import paths, settings
from tests import tiny_mllm
from tests.few_images import project

TWO = ["quality", "correspondence"]
PROFILE = {"revision": None, "dtype": "float32", "max_length": 400, "max_new_tokens": 8, "fewer_views": []}
LORA = {"r": 4, "alpha": 16, "dropout": 0.0, "targets": tiny_mllm.LANGUAGE_LORA, "modules_to_save": []}
UNEXPLAINED = "i01"  # a training image on whose correspondence the teacher said nothing


def build(aspects: list[str] | None, images: int = 8) -> settings.Settings:
    """Every input of distill below the working folder, explained on both aspects; evaluate finds its columns, too."""
    model = tiny_mllm.smolvlm(Path("model").absolute())
    chosen = project(PROFILE | {"model": str(model), "lora": LORA}, images)
    samples = read_table(paths.samples(chosen.dataset))
    samples["generator"] = [f"g{row % 2}" for row in range(len(samples))]
    write_table(samples.assign(pixels=samples["image_id"]), paths.samples(chosen.dataset))
    captions = read_table(paths.captions(chosen.dataset))
    captions["correspondence"] = [f"All{' the' * row} cats are there." for row in range(len(captions))]
    captions.loc[captions["image_id"] == UNEXPLAINED, "correspondence"] = None
    write_table(captions, paths.captions(chosen.dataset))
    return describing(chosen, aspects)


def describing(chosen: settings.Settings, aspects: list[str] | None) -> settings.Settings:
    """The same, but for what is described."""
    return settings.Settings.model_validate(chosen.model_dump() | {"describe": {"aspects": aspects}})
