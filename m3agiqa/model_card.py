"""The README.md of a bundle, in the form that hubs show: what it is, how good, made from what.

Its head is YAML that the Hugging Face hub reads, with the figures as `model-index`; huggingface_hub writes it. Metrics
go by the hub's names (spearmanr and pearsonr for SRCC and PLCC). What the cards do not know is left out, not made up.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from m3agiqa.card import Card
from m3agiqa.rendering import templates

LIBRARY = "m3-agiqa"
TASK = "image-quality-assessment"
METRICS = {"srcc": "spearmanr", "plcc": "pearsonr"}
SIMULATED = "simulated: rendered scenes and a made-up panel of raters"

NOTE = re.compile(r"(?s)\n# [^\n]*\n\n\*\*(.*?)\*\*\n\nScores ")  # where templates/model_card.md has it


class Terms(NamedTuple):
    """How a bundle may be used, as far as its maker says so: no card knows."""

    note: str | None = None  # it stands first in the text
    licence: str | None = None  # as the hub names it


def render(cards: Mapping[str, Card], note: str | None = None, licence: str | None = None) -> str:
    """Markdown, from the cards of a bundle's aspects, and from its `Terms`."""
    template = templates("m3agiqa", html=False).get_template("model_card.md")
    return template.render(metadata=metadata(cards, licence), cards=cards, note=note, simulated=SIMULATED, named=_named)


def metadata(cards: Mapping[str, Card], licence: str | None = None) -> str:
    """YAML for the hub; the same cards give the same bytes."""
    simulated = any(card.world == "simulated" for card in cards.values())
    results = [result for aspect, card in cards.items() for result in _results(aspect, card)]
    data = ModelCardData(
        base_model=sorted({card.mllm.model for card in cards.values() if card.mllm.revision}) or None,
        library_name=LIBRARY,
        license=licence,
        tags=[TASK, *cards, *(["simulated"] if simulated else [])],
        model_name="-".join([LIBRARY, *sorted({card.dataset for card in cards.values()})]),
        eval_results=results or None,
    )
    if not results:
        data.pop("model_name")  # it is the results' name, and no key of the hub's by itself
    return data.to_yaml()


def terms(readme: str) -> Terms:
    """What a README of `render` says of them."""
    note = NOTE.search(readme)
    return Terms(note[1] if note else None, ModelCard(readme).data.get("license"))


def _named(place: str, revision: str | None) -> str:
    """A hub id, or a folder without the path to it, which is nobody else's business."""
    return place if revision else Path(place).name


def _results(aspect: str, card: Card) -> Iterator[EvalResult]:
    """The figures on the test images, less those that there are not: images that all score alike have no SRCC."""
    for figure, metric in METRICS.items():
        if (value := card.figures.get(figure)) is None:
            continue
        yield EvalResult(
            task_type=TASK,
            task_name=f"Image quality assessment: {aspect}",
            dataset_type=card.dataset,
            dataset_name=card.dataset if card.world == "real" else f"{card.dataset} ({SIMULATED})",
            dataset_config=aspect,  # which of its ratings; it also keeps one aspect's figures apart from another's
            dataset_split="test",
            metric_type=metric,
            metric_name=figure.upper(),
            metric_value=value,
        )
