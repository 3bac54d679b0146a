"""The geometry of the page's drawings, in SVG units; the template draws them, so that all text is escaped there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from m3agiqa.aspects import Scale

SIDE = 200  # of a square panel
MARGIN = 26  # left of it and below, for the numbers
BINS = 8  # of the calibration, equally many images in each


class Tick(NamedTuple):
    """A number on an axis."""

    text: str
    at: float


class Reach(NamedTuple):
    """An upright interval."""

    x: float
    bottom: float
    top: float


@dataclass(frozen=True)
class Axis:
    """A scale from `low` to `high`, laid from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where `value` stands, to a tenth of a unit; outside the scale it stands at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[Tick]:
        """Numbers and places of up to six round steps."""
        step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if (self.high - self.low) / step <= 6)
        first = int(np.ceil(self.low / step - 1e-9))
        last = int(np.floor(self.high / step + 1e-9))
        return [Tick(f"{number * step:.3g}", self(number * step)) for number in range(first, last + 1)]


@dataclass(frozen=True)
class Panel:
    """Predictions across, MOS up, both on one scale."""

    name: str
    x: Axis
    y: Axis
    dots: str  # an SVG path: one short stroke a dot
    bars: Sequence[Reach] = ()


@dataclass(frozen=True)
class Bar:
    """A figure with its interval, on the axis of all of them."""

    name: str
    kind: str  # model or baseline
    value: float
    interval: list[float] | None
    at: float
    low: float
    high: float
    pairs: float | None  # within a prompt, in the right order
    best: float | None  # of a prompt's images, picked


class Bars(NamedTuple):
    """Figures beside each other, and their axis."""

    bars: list[Bar]
    axis: Axis


def mos_scale(*values: pd.Series) -> Scale:
    """0 to 5, wider where a prediction is beyond."""
    lowest = min(0, *(float(np.floor(part.min())) for part in values))
    return Scale(lowest, max(5, *(float(np.ceil(part.max())) for part in values)))


def scatter(name: str, rows: pd.DataFrame, scale: Scale) -> Panel:
    """One dot an image."""
    x, y = _axes(scale)
    return Panel(name, x, y, _dots(x, y, rows["predicted"], rows["mos"]))


def calibration(rows: pd.DataFrame, scale: Scale) -> Panel:
    """Images in order of their prediction, cut into equally many: each part's mean MOS with its 95 % interval."""
    x, y = _axes(scale)
    ordered = rows.sort_values("predicted", kind="stable")
    parts = [ordered.iloc[part] for part in np.array_split(np.arange(len(rows)), BINS) if len(part) > 1]
    mean = pd.DataFrame([{"predicted": part["predicted"].mean(), "mos": part["mos"].mean()} for part in parts])
    half = [1.96 * part["mos"].std() / np.sqrt(len(part)) for part in parts]
    middle = zip(mean["predicted"], mean["mos"], half, strict=True) if parts else []
    bars = [Reach(x(predicted), y(mos - reach), y(mos + reach)) for predicted, mos, reach in middle]
    return Panel("calibration", x, y, _dots(x, y, mean["predicted"], mean["mos"]) if parts else "", bars)


def srcc_bars(figures: Mapping[str, Any], labels: Mapping[str, str], width: float = 300) -> Bars:
    """The model first, with descriptions and without, then the baselines from best to worst."""
    ours = [("this model", "model", figures), ("without descriptions", "model", figures["fast"])]
    found = [one for one in ours if one[2]["srcc"] is not None]
    rivals = [(labels[name], "baseline", rival) for name, rival in figures["baselines"].items() if rival]
    found += sorted((rival for rival in rivals if rival[2]["srcc"] is not None), key=lambda rival: -rival[2]["srcc"])
    lows = [(rival["srcc_ci"] or [rival["srcc"]])[0] for _, _, rival in found]
    axis = Axis(min([0.0, *lows]), 1.0, 4, width - 4)
    return Bars([_bar(*one, axis) for one in found], axis)


def _bar(name: str, kind: str, rival: Mapping[str, Any], axis: Axis) -> Bar:
    low, high = rival["srcc_ci"] or [rival["srcc"]] * 2
    return Bar(
        name,
        kind,
        rival["srcc"],
        rival["srcc_ci"],
        axis(rival["srcc"]),
        axis(low),
        axis(high),
        rival["pairs_within_prompt"],
        rival["best_of_prompt"],
    )


class _Axes(NamedTuple):
    x: Axis
    y: Axis


def _axes(scale: Scale) -> _Axes:
    low, high = scale
    return _Axes(Axis(low, high, MARGIN, MARGIN + SIDE), Axis(low, high, SIDE + 4, 4))


def _dots(x: Axis, y: Axis, across: Iterable[float], up: Iterable[float]) -> str:
    """Zero-length strokes, which round caps make dots: ten bytes each where a <circle> takes fifty."""
    return "".join(f"M{x(one):g} {y(other):g}h0" for one, other in zip(across, up, strict=True))
