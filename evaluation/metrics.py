"""How well predictions agree with mean opinion scores; evaluation/bootstrap.py says how sure of it one may be.

SRCC (Spearman), PLCC (Pearson), KRCC (Kendall's tau-b) and RMSE are the field's four. PLCC is
given raw and after VQEG's logistic fit, because a monotonic bend between a model's scale and the
raters' is no fault of the ranking.

A figure that has no value (fewer than three images, a constant input) is None, with a warning in
the log; NaN never leaves this module. Inputs that are not finite are an error.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]

log = logging.getLogger(__name__)

MIN_IMAGES = 3  # a correlation of two points is always ±1


def srcc(predicted: ArrayLike, mos: ArrayLike) -> float | None:
    """Spearman's rank correlation, ties given their mean rank."""
    pair = _pair("SRCC", predicted, mos)
    return None if pair is None else float(stats.spearmanr(*pair).statistic)


def plcc(predicted: ArrayLike, mos: ArrayLike) -> float | None:
    """Pearson's linear correlation of the raw predictions."""
    pair = _pair("PLCC", predicted, mos)
    return None if pair is None else float(stats.pearsonr(*pair).statistic)


def krcc(predicted: ArrayLike, mos: ArrayLike) -> float | None:
    """Kendall's tau-b."""
    pair = _pair("KRCC", predicted, mos)
    return None if pair is None else float(stats.kendalltau(*pair).statistic)


def rmse(predicted: ArrayLike, mos: ArrayLike) -> float | None:
    """Root mean squared error, in points of the 0-5 scale. A constant prediction has one too."""
    predicted, mos = finite(predicted, mos)
    if len(mos) < MIN_IMAGES:
        log.warning("RMSE: null, %d images are fewer than %d", len(mos), MIN_IMAGES)
        return None
    return float(np.sqrt(np.mean((predicted - mos) ** 2)))


@dataclass(frozen=True)
class Logistic:
    """VQEG's curve from predictions to MOS: `bottom + (top - bottom) / (1 + exp(-(x - centre) / width))`.

    It only rises (top > bottom, width > 0): a curve free to fall would turn a model that ranks the
    images the wrong way round into a good one.
    """

    bottom: float
    top: float
    centre: float
    width: float

    def __call__(self, predicted: ArrayLike) -> Floats:
        steps: Floats = special.expit((np.asarray(predicted, float) - self.centre) / self.width)
        return self.bottom + (self.top - self.bottom) * steps


def fit_logistic(predicted: ArrayLike, mos: ArrayLike) -> Logistic | None:
    """Least-squares fit of the four parameters; None where there is none (a predictor that ranks backwards)."""
    pair = _pair("logistic fit", predicted, mos)
    if pair is None:
        return None
    (x, x_mean, x_std), (y, y_mean, y_std) = (_standardised(values) for values in pair)

    def curve(parameters: Floats) -> Floats:
        bottom, height, centre, width = parameters
        steps: Floats = special.expit((x - centre) / width)
        risen: Floats = bottom + height * steps
        return risen

    def residuals(guess: Floats) -> Floats:
        return curve(guess) - y

    start, lowest = [y.min(), np.ptp(y), 0.0, 0.5], [-np.inf, 0, -np.inf, 1e-3]
    found = optimize.least_squares(residuals, start, bounds=(lowest, np.inf), max_nfev=200)
    if np.ptp(curve(found.x)) < 1e-3:
        log.warning("logistic fit: null, the predictions do not rise with the MOS")
        return None
    bottom, height, centre, width = (float(value) for value in found.x)
    return Logistic(
        bottom=y_mean + y_std * bottom,
        top=y_mean + y_std * (bottom + height),
        centre=x_mean + x_std * centre,
        width=x_std * width,
    )


class FittedPLCC(NamedTuple):
    """Pearson's correlation after the logistic fit, and the fitted curve; None where there is none."""

    plcc: float | None
    curve: Logistic | None


def plcc_fitted(predicted: ArrayLike, mos: ArrayLike) -> FittedPLCC:
    """Pearson's correlation after the logistic fit."""
    curve = fit_logistic(predicted, mos)
    return FittedPLCC(None if curve is None else plcc(curve(predicted), mos), curve)


def srcc_within(predicted: ArrayLike, mos: ArrayLike, groups: Sequence[str]) -> float | None:
    """SRCC inside each generator, averaged with the generators' numbers of images as weights.

    What is left when knowing the generator no longer helps. Generators with fewer than three images
    or with constant values have no SRCC and are left out, with a warning; so are images of unknown
    generator ("").
    """
    predicted, mos = finite(predicted, mos)
    names = np.asarray(groups, object)
    found, left_out = [], []
    for group in sorted(set(groups) - {""}):
        rows: NDArray[np.bool_] = names == group
        if reason := _no_correlation(predicted[rows], mos[rows]):
            left_out.append(f"{group!r} ({reason})")
        else:
            found.append((float(stats.spearmanr(predicted[rows], mos[rows]).statistic), rows.sum()))
    if left_out and found:
        log.warning("SRCC within generators: left out: %s", "; ".join(left_out))
    if not found:
        log.warning("SRCC within generators: null, no generator has a value")
        return None
    values, weights = zip(*found, strict=True)
    return float(np.average(values, weights=weights))


def level_accuracy(said: ArrayLike, true: ArrayLike, within: int = 0) -> float | None:
    """Share of the rating words (as levels 0-4) at most `within` levels from the true one."""
    said, true = finite(said, true)
    if not len(true):
        log.warning("word accuracy: null, there are no images")
        return None
    return float(np.mean(np.abs(said - true) <= within))


class _Standardised(NamedTuple):
    values: Floats
    mean: float
    std: float


def _standardised(values: Floats) -> _Standardised:
    mean, std = float(values.mean()), float(values.std())
    return _Standardised((values - mean) / std, mean, std)


class Pairs(NamedTuple):
    """Two lists of one length, an image an entry."""

    predicted: Floats  # (n,)
    mos: Floats  # (n,)


def finite(predicted: ArrayLike, mos: ArrayLike) -> Pairs:
    """Both as arrays. Raises ValueError where they are no two lists of one length, or hold what is no number."""
    predicted, mos = np.asarray(predicted, float), np.asarray(mos, float)
    if predicted.shape != mos.shape or predicted.ndim != 1:
        raise ValueError(f"expected two lists of one length, not {predicted.shape} and {mos.shape}")
    if not (np.isfinite(predicted).all() and np.isfinite(mos).all()):
        raise ValueError("predictions and scores must be finite")
    return Pairs(predicted, mos)


def _pair(name: str, predicted: ArrayLike, mos: ArrayLike) -> Pairs | None:
    """Both as arrays, or None, with a warning, where no correlation exists."""
    predicted, mos = finite(predicted, mos)
    if reason := _no_correlation(predicted, mos):
        log.warning("%s: null, %s", name, reason)
        return None
    return Pairs(predicted, mos)


def _no_correlation(predicted: Floats, mos: Floats) -> str | None:
    """Why two lists have no correlation, if they have none."""
    if len(mos) < MIN_IMAGES:
        return f"{len(mos)} images are fewer than {MIN_IMAGES}"
    for what, values in (("predictions", predicted), ("scores", mos)):
        if np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
            return f"all {what} are equal"
    return None
