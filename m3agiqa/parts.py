"""Where the parts of a trained aspect lie, and whether they belong together.

A card names by hash what it is the card of: the head's files, the adapter and MLLM behind the hidden states, and the
questions. So parts of different runs, or of another version of the project, are refused instead of giving scores that
mean nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from m3agiqa.card import Card, head_sha256, read_card
from m3agiqa.errors import InputError
from m3agiqa.files import fingerprint
from m3agiqa.head.model import Head, load_head
from m3agiqa.mllm import adapters
from m3agiqa.mllm.chat import Chat
from m3agiqa.mllm.conversation import QUESTIONS
from m3agiqa.mllm.fitting import Fitter
from m3agiqa.mllm.loading import load_processor
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.profile import Profile

BASE = {"model", "revision", "dtype", "max_length", "fewer_views"}  # of a profile: what aspects share, or do not


@dataclass(frozen=True)
class Part:
    """The card of one trained aspect, and the folders of what it is the card of."""

    card: Path
    adapter: Path
    head: Path
    fast_head: Path
    mllm: Path | None  # of the base model; None where it lies on the hub, under the id in the card

    def absolute(self) -> "Part":
        """The same, for a process that works in another folder."""
        base = self.mllm and self.mllm.absolute()
        card, adapter, head, fast_head = (
            path.absolute() for path in (self.card, self.adapter, self.head, self.fast_head)
        )
        return Part(card, adapter, head, fast_head, base)


@dataclass(frozen=True)
class Trained:
    """One trained aspect, loaded."""

    card: Card
    mllm: LocalMLLM
    head: Head
    fast: bool  # whether it is the head that reads no description


class Networks:
    """Loads aspects onto a device, and a base model once for all those of them that may share it.

    They do where their cards name the same model, read and written in the same way, and their adapters are plain LoRA.
    """

    def __init__(self, device: str, *, fast: bool = False) -> None:
        self._device, self._fast = device, fast
        self._bases: dict[str, LocalMLLM] = {}

    def load(self, part: Part) -> Trained:
        """The parts of an aspect, checked against their card.

        Raises:
            InputError: a part is missing, or is not the one that the card is of.
        """
        card = checked(part)
        profile, adapter = _profile(part, card), part.adapter if card.adapted else None
        base = _base(part)
        if base is None:
            return self._checked(part, card, LocalMLLM.load(profile, device=self._device, adapter=adapter))
        # Out of its place until all is well: one with an adapter on it that does not belong there is for no other.
        shared = self._bases.pop(base, None) or LocalMLLM.load(profile, device=self._device)
        trained = self._checked(part, card, shared.sharing(card.aspect, adapter))
        self._bases[base] = shared
        return trained

    def _checked(self, part: Part, card: Card, mllm: LocalMLLM) -> Trained:
        if mllm.identity != card.identity:
            raise InputError(f"{part.adapter}: not the adapter or the MLLM ({mllm.name}) that the head was trained on")
        head = load_head(part.fast_head if self._fast else part.head)
        return Trained(card, mllm, head.to(self._device), self._fast)


def load(part: Part, device: str) -> Trained:
    """One aspect alone; `Networks.load` says more."""
    return Networks(device).load(part)


def fitter(part: Part, card: Card) -> Fitter:
    """What tells the length of a sequence of the MLLM, which is not loaded for it.

    Raises:
        InputError: the MLLM's processor is missing or damaged.
    """
    profile = _profile(part, card)
    chat = Chat(load_processor(profile), set(), profile.model)
    return Fitter(chat, profile.max_length, profile.fewer_views)


def groups(parts: Mapping[str, Part]) -> list[dict[str, Part]]:
    """The aspects by base model: each group's share one that is loaded once.

    Raises:
        InputError: a card is missing or damaged.
    """
    found: dict[str, dict[str, Part]] = {}
    for aspect, part in parts.items():
        found.setdefault(_base(part) or aspect, {})[aspect] = part
    return list(found.values())


def _base(part: Part) -> str | None:
    """What names the base model among those of other aspects; None where the adapter wants one of its own."""
    card = read_card(part.card)
    if card.adapted and not adapters.is_plain(part.adapter):
        return None
    return fingerprint(_profile(part, card).model_dump(mode="json", include=BASE))


def _profile(part: Part, card: Card) -> Profile:
    """What the MLLM is loaded by: the card's, and where its base model lies."""
    return card.mllm if part.mllm is None else card.mllm.model_copy(update={"model": str(part.mllm)})


def checked(part: Part) -> Card:
    """The card, if the heads are its heads and this version of the project asks its questions: what needs no MLLM."""
    card = read_card(part.card)
    if card.questions != QUESTIONS:
        raise InputError(f"{part.card}: its MLLM was asked other questions than this version of the project asks")
    for folder, head in ((part.head, card.head), (part.fast_head, card.fast_head)):
        if head_sha256(folder) != head.sha256:
            raise InputError(f"{folder}: another head than the card's; run dvc repro")
    return card
