"""The trained aspects that lie in this workspace, for stages/predict.py and stages/bundle.py.

DVC keeps the outs of one aspect at a time, or two: `dvc exp run -S aspect=…` may take those of another aspect away
(into its cache). A bundle keeps them together: run stages/bundle.py after each aspect, and it adds the new one.
"""

from pathlib import Path

from analyzers import adapters
from data.errors import InputError
from data.tables import ASPECTS
from scoring.card import read_card
from scoring.parts import Part
from stages import paths


def workspace_parts(dataset: str) -> dict[str, Part]:
    """The parts of each aspect of `dataset` that has them all."""
    return {
        aspect: Part(paths.card(dataset, aspect), _adapter(dataset, aspect), paths.head(dataset, aspect))
        for aspect in ASPECTS
        if paths.card(dataset, aspect).is_file()
        and paths.head(dataset, aspect).is_dir()
        and paths.adapter(dataset, aspect).is_dir()
    }


def _adapter(dataset: str, aspect: str) -> Path:
    """The adapter that distill trained; where it trained none, the published one that the head was trained behind."""
    trained = paths.adapter(dataset, aspect)
    mllm = read_card(paths.card(dataset, aspect)).mllm
    if mllm.adapter is None or (trained / paths.ADAPTER_FILE).exists():
        return trained
    return adapters.fetch(mllm.adapter, mllm.adapter_revision)


def require(parts: dict[str, Part], aspect: str) -> None:
    """Refuse an aspect that is not there, saying how to get it."""
    if aspect not in parts:
        here = f"only {', '.join(parts)}" if parts else "and no other either"
        raise InputError(f"no trained {aspect} here ({here}): {how_to_get(aspect)}")


def how_to_get(aspect: str) -> str:
    return f"dvc exp run -S aspect={aspect} trains it, or brings it back from DVC's cache"
