"""Candidates beside each other, the best one first: each with its rank, and how likely it is the best of its group.

A group is what somebody chooses from: the images of one prompt, or of one value of a column. One that has no score has
no rank and comes last.
"""

import math
import os
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from typing import Any, NamedTuple

from m3agiqa.errors import InputError
from m3agiqa.files import atomic, read_json, write_json
from m3agiqa.image_list import ListedImage
from m3agiqa.kept_scores import ScoredImages
from m3agiqa.ranking import best, ranks
from m3agiqa.score_files import Scored

FOUND = ("rank", "best", "candidates")  # what stands beside an image
OURS = re.compile(rf"(given_)*({'|'.join(FOUND)})")  # a user's column that gives way: two of them stay apart
NAME_END = 200  # bytes of the image's own name in that of its copy: a file's may have 255


class Group(NamedTuple):
    """What somebody chooses from."""

    name: str  # the prompt, or the column's value
    rows: list[int]  # of the images, the highest score first


class RankedImages:
    """The images of each group, in the order of their scores; the groups in the order in which they come."""

    def __init__(self, scored: ScoredImages, spread: float, column: str | None = None) -> None:
        """`scored` has one aspect; `spread` is its judge's (m3agiqa/ranking.py), `column` what makes a group."""
        self._scored = scored
        self._ranks = array("q", [0]) * len(scored)  # 0: none
        self._best = array("d", [0.0]) * len(scored)
        found: dict[str, list[int]] = {}
        scores = array("d")
        for row, (image, (score,)) in enumerate(scored):
            found.setdefault(_group(image, column), []).append(row)
            scores.append(math.nan if score.score_0_5 is None else score.score_0_5)
        self.groups = [Group(name, self._ranked(rows, scores, spread)) for name, rows in found.items()]

    def _ranked(self, rows: list[int], scores: Sequence[float], spread: float) -> list[int]:
        told = sorted((row for row in rows if not math.isnan(scores[row])), key=lambda row: -scores[row])
        values = [scores[row] for row in told]
        for row, rank, share in zip(told, ranks(values, spread), best(values, spread), strict=True):
            self._ranks[row], self._best[row] = rank, share
        return [*told, *(row for row in rows if not self._ranks[row])]

    def __len__(self) -> int:
        return len(self._scored)

    def __iter__(self) -> Iterator[Scored]:
        for group in self.groups:
            yield from self.of(group)

    def of(self, group: Group) -> Iterator[Scored]:
        """The images of a group, what was found beside what the user's table says."""
        for row in group.rows:
            image, scores = self._scored[row]
            given = {f"given_{name}" if OURS.fullmatch(name) else name: value for name, value in image.columns.items()}
            yield Scored(replace(image, columns=given | self._found(row, len(group.rows))), scores)

    def _found(self, row: int, candidates: int) -> dict[str, Any]:
        told = bool(self._ranks[row])
        values = self._ranks[row] if told else None, round(self._best[row], 6) if told else None, candidates
        return dict(zip(FOUND, values, strict=True))

    def copy_best(self, count: int, folder: Path, record: Path) -> int:
        """Copy the `count` best of each group into `folder`; how many.

        What an earlier run copied there goes, by its names in the file `record`; whatever else lies there stays.
        """
        best: dict[str, Path] = {}
        for number, group in enumerate(self.groups, start=1):
            for place, row in enumerate([row for row in group.rows if self._ranks[row]][:count], start=1):
                path = self._scored.images[row].path
                best[f"{number:05d}-{place}-{_end(path.name)}"] = path
        earlier: list[str] = read_json(record) if record.exists() else []
        write_json(record, sorted({*earlier, *best}))  # first, so that a run that is killed leaves none behind
        for name, path in best.items():
            folder.mkdir(parents=True, exist_ok=True)
            with atomic(folder / name) as copy:
                copyfile(path, copy)
        for name in set(earlier) - best.keys():
            (folder / name).unlink(missing_ok=True)
        write_json(record, sorted(best))
        return len(best)


def _end(name: str) -> str:
    """The end of a name that is too long."""
    while len(os.fsencode(name)) > NAME_END:
        name = name[1:]
    return name


def check(images: Sequence[ListedImage], column: str | None, folder: Path) -> None:
    """What can be known before anything is scored; `folder` is where the best are copied.

    Raises:
        InputError: an image without the column, or one that lies where the best are copied.
    """
    for image in images:
        if column is not None and column not in image.columns:
            raise InputError(f"{image.name}: no column {column!r} to make groups by; prompts make them without it")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file, where the best are copied; take another --out")
    if folder.resolve() in {parent.resolve() for parent in {image.path.parent for image in images}}:
        raise InputError(f"{folder}: images to be ranked lie here, where the best are copied; take another --out")


def _group(image: ListedImage, column: str | None) -> str:
    """The prompt, spaces aside, or what the column says."""
    if column is None:
        return " ".join(image.prompt.split())
    value = image.columns[column]
    return "" if value is None else str(value)
