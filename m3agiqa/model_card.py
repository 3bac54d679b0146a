"""The README.md of a bundle, in the form that hubs show: what it is, how good, made from what."""

from collections.abc import Mapping

from m3agiqa.card import Card
from m3agiqa.rendering import templates


def render(cards: Mapping[str, Card], note: str | None = None) -> str:
    """Markdown, from the cards of a bundle's aspects; the `note` stands first."""
    return templates("m3agiqa", html=False).get_template("model_card.md").render(cards=cards, note=note)
