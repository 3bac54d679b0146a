"""AVT-AI-Image-Dataset (Göring et al. 2023): 27 prompts × 5 generators, from 1 to 5, as its authors' repository has it.

images/prompts.csv has the prompts by ID. all_ratings.csv has the means of the first study by image, `craiyon/p01`:
realism is authenticity here, prompt matching is correspondence. quality.csv has mean and spread of the second study;
since the repository was rearranged, only its commit c54f4c8 is known to have that file (evaluation_quality_appeal/).

Two kinds of rated images are left out, and counted: the authors' own photographs, `own/p17`, which nothing generated,
and `midjourney/p25`, which is not in the repository. That leaves 134. A folder that has data.csv instead, as in
`folder`, is read as such.
"""

from collections.abc import Iterator
from pathlib import Path

from data.ingest.labels import Rated, Row, read_rows
from data.ingest.lookup import Files
from data.readers import folder
from m3agiqa.aspects import Scale
from m3agiqa.errors import InputError

NOT_GENERATED = "own"
NOT_PUBLISHED = "midjourney/p25"


def read(files: Files, scale: Scale) -> Iterator[Rated]:
    if files.matching("data.csv"):
        yield from folder.read(files, scale)
        return
    prompts = _by(files.find("prompts.csv"), "ID", ["prompts"])
    quality = _by(files.find("quality.csv"), "image_key", ["rating", "std"])
    table = files.find("all_ratings.csv")
    columns = ["image_key", "realism_mean", "prompt_matching_mean"]
    for where, row in read_rows(table, columns, unique="image_key"):
        key = row["image_key"]
        generator, _, prompt = key.partition("/")
        if prompt not in prompts:
            raise InputError(f"{where}: no prompt {prompt!r} in prompts.csv, as image_key {key!r} has it")
        if key not in quality:
            raise InputError(f"{where}: image_key {key!r} is not in quality.csv")
        yield Rated(
            where=where,
            name=f"{generator}_{prompt}.png",
            file=f"{key}.png",
            prompt=prompts[prompt]["prompts"],
            generator=generator,
            mos={
                "quality": quality[key]["rating"],
                "correspondence": row["prompt_matching_mean"],
                "authenticity": row["realism_mean"],
            },
            std={"quality": quality[key]["std"]},
            left_out=_left_out(files, key, generator),
        )


def _by(table: Path, key: str, columns: list[str]) -> dict[str, Row]:
    return {row[key]: row for _, row in read_rows(table, [key, *columns], unique=key)}


def _left_out(files: Files, key: str, generator: str) -> str:
    if generator == NOT_GENERATED:
        return "a photograph"
    return "not published" if key == NOT_PUBLISHED and not files.matching(f"{key}.png") else ""
