"""What the rest of a teacher's work will cost, and afterwards how far off that was.

An answer's tokens, thinking above all, are known from answers alone: from those about images of this data set with
exactly these settings, not from those of another model, and not from what the settings allow at most. So there is no
sum before some are there; `--probe` asks for them. What was forecast is kept beside the journal until the work is done.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from analyzers.estimate import SAMPLE, Sampled, duration
from analyzers.limits import Limits
from analyzers.prices import cost
from analyzers.teacher import Usage
from analyzers.terms import Service
from analyzers.totals import Totals
from m3agiqa.files import fingerprint, read_json, write_json


class Rest(NamedTuple):
    """What is left to do of a data set's images."""

    images: int  # of the data set, for the teacher
    failed: int  # images, before
    requests: int  # to come
    in_jobs: int = 0  # of these requests, which are at the service already

    def __str__(self) -> str:
        new = f"{self.images} images, {self.failed} of them failed before; {self.requests} new requests"
        return new + (f", {self.in_jobs} of them at the service already, in jobs" if self.in_jobs else "")


class Forecast(NamedTuple):
    """What the rest takes, as what was answered tells, and what all will have cost by then."""

    usage: Usage
    usd: float
    usd_in_all: float
    answers: int  # that tell


def enough(totals: Totals, images: int) -> bool:
    """Whether the answers so far tell what the others will take."""
    return totals.images >= min(SAMPLE, images)


def forecast(rest: Rest, totals: Totals, service: Service) -> Forecast:
    """As many tokens an image as so far, what was asked again included. There must be `enough` answers."""
    tokens = {name: round(used / totals.images * rest.requests) for name, used in totals.usage.as_dict().items()}
    usd = service.share * cost(service.prices, totals.usage) / totals.images * rest.requests
    return Forecast(Usage(**tokens), usd, totals.usd(service.prices) + usd, totals.answers)


def told(rest: Rest, found: Forecast, service: Service, limits: Limits) -> str:
    """The forecast in words."""
    source = f"by the mean of {found.answers} answers with these settings"
    return "\n".join(
        (
            str(rest),
            f"input:  {found.usage.input:,} tokens ({source})",
            f"output: {found.usage.output + found.usage.thinking:,} tokens ({source}; thinking included)",
            f"cost:   ${found.usd:.2f} ({_of(service)})",
            _time(rest, found.usage.input, service, limits),
        )
    )


def told_beforehand(rest: Rest, sampled: Sampled | None, service: Service, limits: Limits) -> str:
    """What is known before there are answers: the input, where the service counts it for nothing."""
    few = min(SAMPLE, rest.requests)
    sampled = sampled or Sampled(0, 0)
    counted = f"{sampled.tokens:,} tokens (counted by the service on {sampled.counted} of them)"
    most = few * service.most(round(sampled.tokens / rest.requests))
    inputs = (
        f"${service.share * cost(service.prices, Usage(sampled.tokens)):.2f} for the input and what the output costs"
    )
    return "\n".join(
        (
            str(rest),
            f"input:  {counted if sampled.counted else 'known from answers alone'}",
            f"output: known from answers alone: --probe {few} has {few} images answered, for ${most:.2f} at most",
            f"cost:   {inputs if sampled.counted else 'known from answers alone'} ({_of(service)})",
            _time(rest, sampled.tokens, service, limits),
        )
    )


class Kept:
    """The last forecast, at `path`, of exactly these requests at these prices."""

    def __init__(self, path: Path, keys: Iterable[str], service: Service) -> None:
        self._path = path
        self._of = fingerprint([sorted(keys), service.prices.model_dump(mode="json")])

    def keep(self, found: Forecast) -> None:
        write_json(self._path, {"of": self._of, "usd": found.usd_in_all, "answers": found.answers})

    def compare(self, usd: float) -> None:
        """Say how far off it was, now that all is done and has cost `usd`."""
        kept = read_json(self._path) if self._path.exists() else {}
        if kept.get("of") == self._of and usd:
            off = (kept["usd"] - usd) / usd
            verdict = f"{abs(off):.1%} too {'much' if off > 0 else 'little'}"
            estimated = f"estimated were ${kept['usd']:.4f} from {kept['answers']} answers, {verdict}"
            print(f"caption: all answers cost ${usd:.4f}; {estimated}", file=sys.stderr)


def _of(service: Service) -> str:
    prices = service.prices
    each = f"${prices.input:g} in and ${prices.output:g} out a million tokens"
    return f"prices of {prices.date}: {each}" + (
        f", of which a batch costs {service.share:.0%}" if service.batched else ""
    )


def _time(rest: Rest, input_tokens: int, service: Service, limits: Limits) -> str:
    if service.batched:
        return "time:   a day, as a rule, whatever the number"
    return f"time:   {duration(rest.requests, input_tokens, limits)} or more, at the limits in runtime.teacher"
