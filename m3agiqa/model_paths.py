"""Where a clone of the project keeps what it trained: below its folder, by data set and aspect."""

from pathlib import Path

CARDS = Path("models/cards")


def adapter(dataset: str, aspect: str) -> Path:
    """The folder of the adapter that distill trained; it holds none where distillation is switched off."""
    return Path("models/adapters") / f"{dataset}-{aspect}"


def head(dataset: str, aspect: str) -> Path:
    """The folder of the trained head."""
    return Path("models/heads") / f"{dataset}-{aspect}"


def fast_head(dataset: str, aspect: str) -> Path:
    """The folder of the head that reads no description."""
    return Path("models/fast_heads") / f"{dataset}-{aspect}"


def card(dataset: str, aspect: str) -> Path:
    """The file that says what those are."""
    return CARDS / f"{dataset}-{aspect}.json"
