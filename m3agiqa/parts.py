"""Where the parts of a trained aspect lie, and whether they belong together.

A card names by hash what it is the card of: the head's files, the adapter and MLLM behind the hidden states, and the
questions. So parts of different runs, or of another version of the project, are refused instead of giving scores that
mean nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from m3agiqa.card import Card, head_sha256, read_card
from m3agiqa.errors import InputError
from m3agiqa.head.model import Head, load_head
from m3agiqa.mllm.conversation import QUESTIONS
from m3agiqa.mllm.model import LocalMLLM


@dataclass(frozen=True)
class Part:
    """The card of one trained aspect, and the folders of what it is the card of."""

    card: Path
    adapter: Path
    head: Path
    mllm: Path | None  # of the base model; None where it lies on the hub, under the id in the card

    def absolute(self) -> "Part":
        """The same, for a process that works in another folder."""
        base = self.mllm and self.mllm.absolute()
        return Part(self.card.absolute(), self.adapter.absolute(), self.head.absolute(), base)


@dataclass(frozen=True)
class Trained:
    """One trained aspect, loaded."""

    card: Card
    mllm: LocalMLLM
    head: Head


def load(part: Part, device: str) -> Trained:
    """The parts, checked against their card, on `device`.

    Raises:
        InputError: a part is missing, or is not the one that the card is of.
    """
    card = checked(part)
    profile = card.mllm
    if part.mllm is not None:
        profile = profile.model_copy(update={"model": str(part.mllm)})
    mllm = LocalMLLM.load(profile, device=device, adapter=part.adapter if card.adapted else None)
    if mllm.identity != card.identity:
        raise InputError(f"{part.adapter}: not the adapter or the MLLM ({profile.model}) that the head was trained on")
    return Trained(card, mllm, load_head(part.head).to(device))


def checked(part: Part) -> Card:
    """The card, if the head is its head and this version of the project asks its questions: what needs no MLLM."""
    card = read_card(part.card)
    if card.questions != QUESTIONS:
        raise InputError(f"{part.card}: its MLLM was asked other questions than this version of the project asks")
    if head_sha256(part.head) != card.head:
        raise InputError(f"{part.head}: another head than the card's; run dvc repro")
    return card
