"""What was spent on some images, over all runs, as the journal's records tell: requests, tokens, money."""

from collections import Counter
from typing import Any

from analyzers.prices import cost
from analyzers.teacher import Usage
from pipeline.profiles import Prices

# In place of a finish reason, where there was no answer:
REFUSED = "REFUSED"  # the service did not even take the request
LOST = "LOST"  # it may have answered, and billed that, but the answer never came


class Totals:
    """A sum of records. `requests` are also those that failed before an answer; `images` have an answer at least."""

    def __init__(self) -> None:
        self.images, self.answers, self.requests, self.lost = 0, 0, 0, 0
        self.usage, self.largest_input = Usage(), 0
        self.versions: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()  # explanations that could not be used, by why, asked again or not
        self._billed: dict[float, Usage] = {}  # by the share of the price that they cost
        self._lost_shares = 0.0

    def add(self, record: dict[str, Any]) -> None:
        usage, share = Usage(**record["usage"]), record.get("price_share", 1.0)
        self.requests += record["attempts"]
        self.usage += usage
        self._billed[share] = self._billed.get(share, Usage()) + usage
        self.largest_input = max(self.largest_input, usage.input)
        if record["blocked"]:
            self.refused[record["blocked"]] += len(record["parts"])
        if record["finish_reason"] == LOST:
            self.lost += 1
            self._lost_shares += share
        elif record["finish_reason"] != REFUSED:
            self.answers += 1
            self.versions[record["model_version"]] += 1
            self.refused.update(f"unusable: {complaint}" for complaint in record["unusable"].values())

    def usd(self, prices: Prices | None) -> float:
        """What the answers cost, in USD."""
        return sum(share * cost(prices, usage) for share, usage in self._billed.items()) if prices else 0.0

    def usd_lost_at_most(self, a_request: float) -> float:
        """What the lost requests may have cost besides, in USD, where one costs at most `a_request` of them."""
        return self._lost_shares * a_request
