"""Scores as a pandas frame, with the columns of predict's scores.csv; pandas is imported when one is asked for."""

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from m3agiqa.errors import InputError
from m3agiqa.given import text_of
from m3agiqa.score import Score
from m3agiqa.score_files import ASKED, FOUND, found


def pandas() -> Any:
    """The package, which nothing else here needs.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module("pandas")
    except ImportError:
        raise InputError("a frame needs pandas, which is not installed: pip install pandas") from None


def frame_of(images: Sequence[Any], prompts: Sequence[Any], scores: Sequence[Mapping[str, Score]]) -> Any:
    """A pandas.DataFrame with a row an image and aspect, from images and prompts as they were given.

    Its index is the image's position. What an image or a prompt has no text for is missing, and so is every number of
    an image without a score.

    Raises:
        InputError: pandas is not installed.
    """
    pd = pandas()
    rows, index = [], []
    for position, (image, prompt, its) in enumerate(zip(images, prompts, scores, strict=True)):
        asked = {"image": _name(image), "prompt": _text(prompt)}
        rows += [asked | {"aspect": aspect} | found(score) for aspect, score in its.items()]
        index += [position] * len(its)
    names = [*ASKED, "aspect", *FOUND]
    numbers = dict.fromkeys([name for name, kind in FOUND.items() if kind == "number"], "float64")
    positions = pd.Index(index, name="position", dtype="int64")
    return pd.DataFrame(rows, index=positions, columns=names).astype(numbers)


def _name(image: Any) -> str | None:
    """Where it lies, if that is what was given."""
    return os.fsdecode(image) if isinstance(image, (str, os.PathLike)) else None


def _text(prompt: Any) -> str | None:
    """None for what is no text, as its status says."""
    try:
        return text_of(prompt)
    except InputError:
        return None
