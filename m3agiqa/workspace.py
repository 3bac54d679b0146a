"""The trained aspects of a clone of the project: where its stages leave them, and which are there now.

DVC keeps the outs of one aspect at a time, or two: `dvc exp run -S aspect=…` may take those of another aspect away
(into its cache). A bundle keeps them together: `make judge` trains the aspects in turn and packs each as it comes.
"""

from pathlib import Path

from m3agiqa.aspects import ASPECTS
from m3agiqa.card import Card, read_card
from m3agiqa.errors import InputError
from m3agiqa.mllm import adapters
from m3agiqa.model_paths import CARDS, adapter, card, fast_head, head
from m3agiqa.parts import Part


def parts_here(dataset: str | None = None) -> dict[str, Part]:
    """The parts of each aspect that has them all, below the working folder.

    Args:
        dataset: what they were trained on; None where it is the only one.

    Raises:
        InputError: nothing is here, or of several data sets without one being named.
    """
    # By their names first: a card of another data set, and perhaps of an older version, is nobody's business.
    paths = [path for path in sorted(CARDS.glob("*.json")) if dataset in (None, path.stem.rpartition("-")[0])]
    here = [found for path in paths or sorted(CARDS.glob("*.json")) if _whole(found := read_card(path))]
    datasets = sorted({found.dataset for found in here})
    if not here:
        raise InputError("nothing is trained here: run dvc repro in a clone of the project")
    if dataset is None and len(datasets) > 1:
        raise InputError(f"several data sets were trained on here: choose one with --dataset ({', '.join(datasets)})")
    if dataset is not None and dataset not in datasets:
        raise InputError(f"nothing here was trained on {dataset}, only on {', '.join(datasets)}")
    chosen = {found.aspect: found for found in here if found.dataset == (dataset or datasets[0])}
    return {aspect: _part(chosen[aspect]) for aspect in ASPECTS if aspect in chosen}


def how_to_get(aspect: str) -> str:
    """What a user does about a missing aspect."""
    return f"make judge trains {aspect} and the others, or brings them back from DVC's cache; then --bundle bundle"


def _whole(found: Card) -> bool:
    return all(of(found.dataset, found.aspect).is_dir() for of in (head, fast_head, adapter))


def _part(found: Card) -> Part:
    trained = adapter(found.dataset, found.aspect)
    base = None if found.mllm.revision else Path(found.mllm.model)
    own, whole, fast = (of(found.dataset, found.aspect) for of in (card, head, fast_head))
    return Part(own, adapters.chosen(trained, found.mllm) or trained, whole, fast, base)
