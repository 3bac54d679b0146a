"""What tokens cost."""

from analyzers.teacher import Usage
from pipeline.profiles import Prices


def cost(prices: Prices, usage: Usage) -> float:
    """USD; thinking is billed as output."""
    return (usage.input * prices.input + (usage.output + usage.thinking) * prices.output) / 1e6
