"""Where the parts of a trained aspect lie, and whether they belong together.

A card names by hash what it is the card of: the head's files, the adapter and MLLM behind the hidden states, and the
questions. So parts of different runs, or of another version of the project, are refused instead of giving scores that
mean nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from analyzers.conversation import QUESTIONS
from analyzers.mllm import LocalMLLM
from data.errors import InputError
from finetune.heads import Head, load_head
from scoring.card import Card, head_sha256, read_card

PROJECT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Part:
    """The card of one trained aspect, and the folders of its adapter and head."""

    card: Path
    adapter: Path
    head: Path


@dataclass(frozen=True)
class Trained:
    """One trained aspect, loaded."""

    card: Card
    student: LocalMLLM
    head: Head


def load(part: Part, device: str) -> Trained:
    """The parts, checked against their card, on `device`.

    Raises:
        InputError: a part is missing, or is not the one that the card is of.
    """
    card = checked(part)
    profile = card.mllm
    student = LocalMLLM.load(
        _model(profile.model),
        revision=profile.revision,
        dtype=profile.dtype,
        max_length=profile.max_length,
        device=device,
        adapter=part.adapter if card.adapted else None,
        fewer_views=profile.fewer_views,
    )
    if student.identity != card.identity:
        raise InputError(f"{part.adapter}: not the adapter or the MLLM ({profile.model}) that the head was trained on")
    return Trained(card, student, load_head(part.head).to(device))


def checked(part: Part) -> Card:
    """The card, if the head is its head and this version of the project asks its questions: what needs no MLLM."""
    card = read_card(part.card)
    if card.questions != QUESTIONS:
        raise InputError(f"{part.card}: its MLLM was asked other questions than this version of the project asks")
    if head_sha256(part.head) != card.head:
        raise InputError(f"{part.head}: another head than the card's; run dvc repro")
    return card


def _model(name: str) -> str:
    """A folder of the project is found from any working folder; a hub id stays what it is."""
    return str(PROJECT / name) if not Path(name).is_dir() and (PROJECT / name).is_dir() else name
