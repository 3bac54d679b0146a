"""Do intervals hold what they promise, and no more? `python -m benchmarks.intervals`: figures in docs/protocols.md.

Made-up data sets, whose truth is known: prompts of one to eleven images, whose errors are partly the prompt's and
partly the image's. One table is of the 90 % interval around a score (evaluation/conformal.py), one of the 95 %
intervals of figures (evaluation/bootstrap.py), each beside what was there before or was tried.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import stats

from evaluation import bootstrap, conformal

Floats = NDArray[np.float64]

TAILS: dict[str, Callable[[Generator, int], Floats]] = {
    "normal": lambda random, count: random.normal(size=count),
    "Laplace": lambda random, count: random.laplace(size=count),
    "t, 5 degrees": lambda random, count: random.standard_t(5, size=count),
    "t, 3 degrees": lambda random, count: random.standard_t(3, size=count),
    "uniform": lambda random, count: random.uniform(-1, 1, count),
}
SHARES = (0, 0.3, 0.7, 1)  # of the errors' variance that is the prompts'
CORRELATION, RIVAL = 0.9, 0.8  # of the made-up scores with the MOS, and of the rival's
RESAMPLES = 200
FIGURES = {"SRCC": bootstrap.srcc, "PLCC": bootstrap.plcc, "KRCC": bootstrap.krcc, "RMSE": bootstrap.rmse}


class MadeUp(NamedTuple):
    """A data set that can be drawn as often as one likes."""

    prompts: int
    share: float  # of the variance that is the prompts'
    tail: str  # of TAILS


class Drawn(NamedTuple):
    """Numbers of images, and which prompt each is of."""

    numbers: Floats  # (n,) or (n, columns)
    prompts: NDArray[np.intp]  # (n,)


def kinds(count: int) -> Iterator[MadeUp]:
    """Made-up data sets of 9 to 40 prompts, of every tail that has no hard limit."""
    random, tails = np.random.default_rng(0), [tail for tail in TAILS if tail != "uniform"]
    for number in range(count):
        yield MadeUp(int(random.integers(9, 41)), random.uniform(), tails[number % len(tails)])


def errors(kind: MadeUp, random: Generator) -> Drawn:
    """How far off a score is on each image of one data set."""
    prompts = np.repeat(np.arange(kind.prompts), random.integers(1, 12, kind.prompts))
    of_prompts, of_images = (TAILS[kind.tail](random, count) for count in (kind.prompts, len(prompts)))
    return Drawn(np.abs(np.sqrt(kind.share) * of_prompts[prompts] + np.sqrt(1 - kind.share) * of_images), prompts)


class Held(NamedTuple):
    """How often a rule's intervals hold new images, and how wide they are, the narrowest that would do being 1."""

    coverage: float
    width: float


def held(rule: Callable[[Floats, float, NDArray[np.intp]], float | None], kind: MadeUp, *, trials: int) -> Held:
    """`rule` takes the errors of a validation set, the level and the prompts to half a width."""
    random = np.random.default_rng(0)
    new = np.sort(errors(kind._replace(prompts=40_000), random).numbers)
    halves = np.array([rule(drawn.numbers, conformal.LEVEL, drawn.prompts) for drawn in _several(kind, random, trials)])
    inside = np.searchsorted(new, halves, side="right") / len(new)
    return Held(float(inside.mean()), float(halves.mean() / np.quantile(new, conformal.LEVEL)))


def _several(kind: MadeUp, random: Generator, trials: int) -> Iterator[Drawn]:
    return (errors(kind, random) for _ in range(trials))


def pooled(values: Floats, level: float, prompts: NDArray[np.intp]) -> float:
    """What conformal.quantile was until November 2026: CDF pooling."""
    _, members, sizes = np.unique(prompts, return_inverse=True, return_counts=True)
    order = np.argsort(values, kind="stable")
    enough = np.cumsum(1 / sizes[members[order]]) >= level * (len(sizes) + 1) - 1e-9
    return float(values[order][enough.argmax()])


def rated(kind: MadeUp, random: Generator) -> Drawn:
    """(n, 3): MOS, scores and a rival's scores, which go with the MOS as CORRELATION and RIVAL say."""
    prompts = np.repeat(np.arange(kind.prompts), random.integers(1, 12, kind.prompts))
    of_prompts, of_images = (_three(kind.tail, count, random) for count in (kind.prompts, len(prompts)))
    return Drawn(np.sqrt(kind.share) * of_prompts[prompts] + np.sqrt(1 - kind.share) * of_images, prompts)


def _three(tail: str, count: int, random: Generator) -> Floats:
    true, *noise = (TAILS[tail](random, count) for _ in range(3))
    scores = [r * true + np.sqrt(1 - r * r) * each for r, each in zip((CORRELATION, RIVAL), noise, strict=True)]
    return np.stack([true, *scores], axis=1)


def figures_held(
    kind: MadeUp, *, trials: int, names: tuple[str, ...] = ("SRCC", "PLCC", "KRCC", "RMSE", "gain")
) -> pd.DataFrame:
    """How often the truth lies within each kind of interval, by figure; `ours` is what evaluate writes."""
    random = np.random.default_rng(0)
    many = rated(kind._replace(prompts=20_000), random).numbers
    truth = {name: float(_figure(name, np.ones((1, len(many))), many)[0]) for name in names}
    inside = []
    for seed in range(trials):
        drawn = rated(kind, random)
        for name in names:
            edges = {"ours": np.array(_ours(name, drawn, seed)), **_others(name, drawn, seed)}
            inside += [
                {"figure": name, "interval": which, "inside": low <= truth[name] <= high}
                for which, (low, high) in edges.items()
            ]
    return pd.DataFrame(inside).pivot_table(values="inside", index="figure", columns="interval", sort=False)


def _figure(name: str, counts: Floats, values: Floats) -> Floats:
    mos, scores, rival = values.T
    if name == "gain":
        return bootstrap.srcc(counts, scores, mos) - bootstrap.srcc(counts, rival, mos)
    return FIGURES[name](counts, scores, mos)


def _ours(name: str, drawn: Drawn, seed: int) -> list[float]:
    mos, scores, rival = drawn.numbers.T
    if name == "gain":
        gain = bootstrap.srcc_gain(scores, rival, mos, drawn.prompts, resamples=RESAMPLES, seed=seed)
        found = gain.interval if gain else None
    else:
        found = bootstrap.interval(FIGURES[name], scores, mos, drawn.prompts, resamples=RESAMPLES, seed=seed)
    return found or [-np.inf, np.inf]


def _others(name: str, drawn: Drawn, seed: int) -> dict[str, Floats]:
    """Percentiles of the resamples, and those that BCa takes, its acceleration from the jackknife by prompt."""
    counts = bootstrap.resampled(drawn.prompts, RESAMPLES, seed)
    found = np.concatenate([_figure(name, each, drawn.numbers) for each in counts])
    found = found[np.isfinite(found)]
    edges = np.array([0.025, 0.975])
    prompts = np.arange(drawn.prompts.max() + 1)
    without = _figure(name, (drawn.prompts != prompts[:, None]).astype(float), drawn.numbers)
    apart = np.nanmean(without) - without
    bend = np.nansum(apart**3) / (6 * np.nansum(apart**2) ** 1.5)
    below = np.mean(found < _figure(name, np.ones((1, len(drawn.prompts))), drawn.numbers))
    shift = stats.norm.ppf(np.clip(below, 1 / RESAMPLES, 1 - 1 / RESAMPLES))
    moved = shift + stats.norm.ppf(edges)
    return {
        "percentiles": np.quantile(found, edges),
        "BCa": np.quantile(found, stats.norm.cdf(shift + moved / (1 - bend * moved))),
    }


def main() -> None:
    print("90 % interval of a score: coverage and width, mean over the tails and shares")
    for tails in (("normal", "Laplace", "t, 5 degrees", "t, 3 degrees"), ("uniform",)):
        for prompts in (9, 12, 20, 40):
            some = [MadeUp(prompts, share, tail) for tail in tails for share in SHARES]
            for name, rule in (("ours", conformal.quantile), ("pooled", pooled)):
                each = [held(rule, kind, trials=200) for kind in some]
                coverage, width = np.mean(each, axis=0)
                lowest, highest = np.min(each, axis=0)[0], np.max(each, axis=0)[0]
                spread = f"{lowest:.3f} to {highest:.3f}"
                print(f"{' '.join(tails):40} {prompts:3} prompts  {name:7} {coverage:.3f} ({spread}), {width:.2f}")
    print("95 % intervals of figures: how often they hold the truth, mean over the tails and shares")
    for prompts in (5, 12, 25, 80):
        some = [MadeUp(prompts, share, tail) for tail in ("normal", "t, 5 degrees") for share in (0, 0.3, 0.7)]
        tables = [figures_held(kind, trials=200) for kind in some]
        print(f"{prompts} prompts\n{pd.concat(tables).groupby(level=0, sort=False).mean().round(3)}", flush=True)


if __name__ == "__main__":
    main()
