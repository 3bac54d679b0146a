"""The trained aspects that lie in this workspace, for stages/predict.py and stages/bundle.py.

DVC keeps the outs of one aspect at a time, or two: `dvc exp run -S aspect=…` may take those of another aspect away
(into its cache). A bundle keeps them together: run stages/bundle.py after each aspect, and it adds the new one.
"""

from data.errors import InputError
from data.tables import ASPECTS
from scoring.parts import Part
from stages import paths


def workspace_parts(dataset: str) -> dict[str, Part]:
    """The parts of each aspect of `dataset` that has them all."""
    parts = {
        aspect: Part(paths.card(dataset, aspect), paths.adapter(dataset, aspect), paths.head(dataset, aspect))
        for aspect in ASPECTS
    }
    return {
        aspect: part
        for aspect, part in parts.items()
        if part.card.is_file() and part.head.is_dir() and part.adapter.is_dir()
    }


def require(parts: dict[str, Part], aspect: str) -> None:
    """Refuse an aspect that is not there, saying how to get it."""
    if aspect not in parts:
        here = f"only {', '.join(parts)}" if parts else "and no other either"
        raise InputError(f"no trained {aspect} here ({here}): {how_to_get(aspect)}")


def how_to_get(aspect: str) -> str:
    return f"dvc exp run -S aspect={aspect} trains it, or brings it back from DVC's cache"
