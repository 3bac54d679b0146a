"""Images of several sizes, with prompts of several lengths, scored in batches of two by whoever is asked to."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from m3agiqa.image_list import ListedImage
from m3agiqa.parts import Part
from m3agiqa.score import Score
from m3agiqa.scored_images import scored
from m3agiqa.scorer import Scorer
from tests.tiny_mllm import picture

IMAGES = 13


class Overlapping(Scorer):
    """On a CPU as on a GPU: threads make the inputs of other batches. By name, so that it is so in other processes."""

    threads = 2


def uneven_images(folder: Path) -> list[ListedImage]:
    """IMAGES with a prompt or none; then one of them again, and one that is none."""
    made = []
    for number in range(IMAGES):
        picture(200 + number, width=32 + 16 * (number % 3)).save(folder / f"{number}.png")
        made.append(ListedImage(f"{number}.png", folder / f"{number}.png", "a red cube " * (number % 4)))
    (folder / "bad.png").write_text("no image")
    return [*made, replace(made[3], name="again"), ListedImage("bad.png", folder / "bad.png", "a cone")]


def found(images: list[ListedImage], parts: dict[str, Part], folder: Path, **where: Any) -> list[list[Score]]:
    """Each image's scores, kept below `folder`; `where` is who scores."""
    with ExitStack() as kept:
        rows = scored(images, parts, folder, kept=kept, batch=2, **{"device": "cpu"} | where)
        return [list(row.scores) for row in rows]


def journalled(folder: Path) -> int:
    """How many scores are kept."""
    return sum(len(path.read_bytes().splitlines()) for path in folder.rglob("journal.jsonl"))
