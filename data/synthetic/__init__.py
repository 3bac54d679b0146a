"""The embedded data set `synthetic`: drawn, spoilt and rated by code, deterministic from a seed.

- scenes, changes: what a prompt may ask for, and how a picture may depart from it
- shapes, layouts: what things are made of, and where they stand
- exact: the arithmetic by which another machine draws the same
- pack, rays, trace: the ray tracer; lights, textures, paint: what it sees; styles, filters: what becomes of that;
  render: all of it in one call
- traits, faults, generators: what goes wrong, and six generators that each go wrong in their own way
- raters: the panel that gives MOS, std and comments
- captions: what a picture shows, in words without any judgement: the language of pretraining
"""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.random import Generator
from PIL import Image

from data.synthetic.faults import ASPECTS, Picture
from data.synthetic.generators import GENERATORS, draw
from data.synthetic.layouts import Layout
from data.synthetic.raters import comment, rate
from data.synthetic.render import render as draw_pixels
from data.synthetic.scenes import Scene, draw_scene
from m3agiqa.files import atomic, sha256
from m3agiqa.images import pixels_sha256

BATCH = 12  # pictures rendered together
A_PROCESS = 500_000  # pixels: rendered in about as long as another process takes to begin
DECIMALS = 6  # of scores: what random generators and roots leave in doubt is far below (see `exact`)
T = TypeVar("T")


class Progress(Protocol):
    """Passes things on and shows how many have come."""

    def __call__(self, iterable: Iterable[T], /, *, total: int, desc: str, unit: str) -> Iterable[T]: ...


class Cell(NamedTuple):
    """A picture to be: of which prompt, what that asks for, and by which generator."""

    prompt: int
    scene: Scene
    generator: str


class _Task(NamedTuple):
    paths: list[Path]
    layouts: list[Layout]
    size: int


class _Painted(NamedTuple):
    sha256: str  # of the file
    pixels: str  # of the picture


def _unseen(iterable: Iterable[T], /, *, total: int, desc: str, unit: str) -> Iterable[T]:  # noqa: ARG001 (a Progress)
    return iterable


def build(folder: Path, *, seed: int, prompts: int, size: int, raters: int,
          progress: Progress = _unseen) -> pd.DataFrame:  # fmt: skip
    """Write six pictures a prompt to folder/images/ and the noise-free truth to folder/truth.parquet.

    Returns the samples table. Many pictures are rendered by one process a core; each batch is a function of the seed
    alone, so neither their number nor the machine changes a pixel or a score (`exact`).
    """
    scenes = draw_prompts(seed, prompts)
    cells = [Cell(i, scene, name) for i, scene in enumerate(scenes) for name in GENERATORS]
    pictures = draw_pictures(seed, cells)
    ids = [f"p{i:03d}-{name.removeprefix('sim-')}" for i, _, name in cells]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    painted = _paint(folder, ids, pictures, size, progress)
    truth = pd.DataFrame([picture.truth for picture in pictures])[list(ASPECTS)]
    mos, std = rate(truth.to_numpy(), raters, _rng(seed, 2))
    table = pd.DataFrame({
        "image_id": ids,
        "path": [f"images/{image_id}.png" for image_id in ids],
        "prompt": [scene.prompt for _, scene, _ in cells],
        "generator": [name for _, _, name in cells],
        "comment": [comment(picture, _rng(seed, 3, k)) for k, picture in enumerate(pictures)],
        "sha256": [picture.sha256 for picture in painted],
        "pixels": [picture.pixels for picture in painted],
    })  # fmt: skip
    for column, aspect in enumerate(ASPECTS):
        table[f"mos_{aspect}"] = mos[:, column].round(DECIMALS)
        table[f"std_{aspect}"] = std[:, column].round(DECIMALS)
    truth = truth.round(DECIMALS)
    truth.columns = [f"truth_{aspect}" for aspect in ASPECTS]
    truth.insert(0, "image_id", ids)
    with atomic(folder / "truth.parquet") as temporary:
        truth.sort_values("image_id").to_parquet(temporary, index=False)
    return table.sort_values("image_id", ignore_index=True)


def draw_prompts(seed: int, prompts: int) -> list[Scene]:
    """Scenes with different prompts, all from the combinations reserved for the data set."""
    rng = _rng(seed, 0)
    scenes: dict[str, Scene] = {}
    while len(scenes) < prompts:
        scene = draw_scene(rng, reserved=True)
        scenes.setdefault(scene.prompt, scene)
    return list(scenes.values())


def draw_pictures(seed: int, cells: Sequence[Cell]) -> list[Picture]:
    """A picture for each cell, laid out and spoilt anew for each."""
    return [draw(name, scene, _rng(seed, 1, k)) for k, (_, scene, name) in enumerate(cells)]


def _rng(*key: int) -> Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def _paint(folder: Path, ids: list[str], pictures: list[Picture], size: int, progress: Progress) -> list[_Painted]:
    """Render and save all pictures; what their files and their pixels are, in order."""
    tasks = [_Task([folder / "images" / f"{image_id}.png" for image_id in ids[k : k + BATCH]],
                   [picture.layout for picture in pictures[k : k + BATCH]], size)
             for k in range(0, len(ids), BATCH)]  # fmt: skip
    workers = min(len(os.sched_getaffinity(0)), len(tasks), len(ids) * size**2 // A_PROCESS)
    with ExitStack() as stack:
        mapping: Callable[[Callable[[_Task], list[_Painted]], list[_Task]], Iterable[list[_Painted]]] = map
        if workers > 1:
            pool = ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,))
            mapping = stack.enter_context(pool).map
        painted = (picture for batch in mapping(_paint_batch, tasks) for picture in batch)
        return list(progress(painted, total=len(ids), desc="draw", unit="image"))


def _paint_batch(task: _Task) -> list[_Painted]:
    painted = []
    for path, pixels in zip(task.paths, draw_pixels(task.layouts, task.size).numpy(), strict=True):
        image = Image.fromarray(pixels)
        with atomic(path) as temporary:
            image.save(temporary, "PNG")
        painted.append(_Painted(sha256(path), pixels_sha256(image)))
    return painted
