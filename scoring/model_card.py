"""The README.md of a bundle, in the form that hubs show: what it is, how good, made from what."""

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from scoring.card import Card


def render(cards: Mapping[str, Card]) -> str:
    """Markdown, from the cards of a bundle's aspects."""
    templates = Environment(  # noqa: S701 - Markdown from our own figures and names of params.yaml
        loader=PackageLoader("scoring"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return templates.get_template("model_card.md").render(cards=cards)
