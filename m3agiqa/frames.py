"""Scores as a pandas frame, with the columns of predict's scores.csv; pandas is imported when one is asked for."""

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from m3agiqa.errors import InputError
from m3agiqa.given import text_of
from m3agiqa.score import Score

NUMBERS = ("score", "scale", "low", "high", "percentile")  # how their columns' names begin


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
    for position, (image, prompt, found) in enumerate(zip(images, prompts, scores, strict=True)):
        asked = {"image": _name(image), "prompt": _text(prompt)}
        rows += [asked | {"aspect": aspect} | _columns(score) for aspect, score in found.items()]
        index += [position] * len(found)
    names = ["image", "prompt", "aspect", *_columns(Score("", ""))]
    numbers = dict.fromkeys([name for name in names if name.startswith(NUMBERS)], "float64")
    positions = pd.Index(index, name="position", dtype="int64")
    return pd.DataFrame(rows, index=positions, columns=names).astype(numbers)


def _columns(score: Score) -> dict[str, Any]:
    low, high = score.interval or (None, None)
    low_0_5, high_0_5 = score.interval_0_5 or (None, None)
    scale_low, scale_high = (None, None) if score.score is None else score.scale
    return {
        "status": score.status,
        "score": score.score,
        "low": low,
        "high": high,
        "scale_low": scale_low,
        "scale_high": scale_high,
        "score_0_5": score.score_0_5,
        "low_0_5": low_0_5,
        "high_0_5": high_0_5,
        "percentile": score.percentile,
        "word": score.word,
        "description": score.description,
        "warnings": list(score.warnings),
    }


def _name(image: Any) -> str | None:
    """Where it lies, if that is what was given."""
    return os.fsdecode(image) if isinstance(image, (str, os.PathLike)) else None


def _text(prompt: Any) -> str | None:
    """None for what is no text, as its status says."""
    try:
        return text_of(prompt)
    except InputError:
        return None
