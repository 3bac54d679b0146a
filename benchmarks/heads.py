"""What the parts of a head are worth, on the cached states: `python -m benchmarks.heads` after `dvc repro`.

Every head of params.yaml is trained as the train stage does it, with each of SEEDS, and once more without its shortcut;
then the default head with other numbers of blocks, without descriptions, and with every other loss. Same images, steps
and selection; what differs is named in the row. Shown is agreement with the validation images' MOS, by which one may
choose; `--test` adds the test images, by which one may not. Mean ± standard deviation over the seeds; 95 % intervals
resample prompts and are averaged over the seeds, as are differences from the first row, which are paired.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.cached_states import cached_states, parts_to_score
from data.feature_store.store import FeatureStore
from data.splitting.prompts import prompt_groups
from evaluation import bootstrap, metrics
from evaluation.predictions import predict
from finetune.heads.training import train_head
from m3agiqa.device import device
from m3agiqa.head.model import build_head
from pipeline.profiles import Train
from pipeline.settings import Settings

SEEDS = (0, 1, 2)
OTHER_BLOCKS = (1, 4)
OTHER_LOSSES = ({"huber": 1.0}, {"plcc": 1.0}, {"rank": 1.0}, {"mse": 0.5, "rank": 0.5})


def main() -> None:
    parts = parts_to_score(__doc__.splitlines()[0])
    settings, table, store = cached_states()
    dataset, aspect = settings.dataset, settings.aspect
    print(f"{dataset}, {aspect}, seeds {SEEDS}: " + ", ".join(f"{n} {part}" for part, n in _sizes(table).items()))
    print("| head | loss | weights | s | " + " | ".join(f"{part} SRCC | … from the first row" for part in parts) + " |")
    print("|---|---|---|---|" + "---|---|" * len(parts))
    first: dict[str, list[np.ndarray]] = {}
    for variant in _variants(settings):
        runs, seconds, weights = _train(settings, variant.of(store), table, variant, parts)
        first = first or runs
        cells = [_cells(table[table["split"] == part], runs[part], first[part], settings) for part in parts]
        print(
            f"| {variant.name} | {_words(variant.loss)} | {weights:,} | {seconds:.0f} | " + " | ".join(cells) + " |",
            flush=True,
        )


class _Variant(NamedTuple):
    name: str
    head: dict[str, Any]  # as build_head takes it
    loss: dict[str, float]
    descriptions: bool = True

    def of(self, store: FeatureStore) -> FeatureStore:
        """The states that it reads."""
        return store if self.descriptions else store.without_descriptions()


def _variants(settings: Settings) -> Iterator[_Variant]:
    """First the chosen head, then those that have a shortcut, as they are and without it; the rest is of the chosen."""
    usual, chosen = settings.train.loss.model_dump(), settings.head
    heads = {name: head.model_dump() for name, head in settings.heads.items() if head.shortcut or name == chosen}
    names = sorted(heads, key=lambda name: name != chosen)
    for name in names:
        yield _Variant(name, heads[name], usual)
    for name in names:
        if heads[name]["shortcut"] and heads[name]["kind"] != "statistics":
            yield _Variant(f"{name}, no shortcut", heads[name] | {"shortcut": False}, usual)
    own = heads[chosen]
    for blocks in OTHER_BLOCKS if "blocks" in own else ():
        changes = {"blocks": blocks} | {
            key: [place for place in own[key] if place < blocks] for key in own.keys() & {"slstm_at"}
        }
        yield _Variant(f"{chosen}, blocks {blocks}", own | changes, usual)
    yield _Variant(f"{chosen}, no descriptions", own, usual, descriptions=False)
    for loss in OTHER_LOSSES:
        yield _Variant(chosen, own, loss)


class _Trained(NamedTuple):
    runs: dict[str, list[np.ndarray]]  # predictions of each part, a list over the seeds
    seconds: float  # of a training, on average
    weights: int


def _train(
    settings: Settings, store: FeatureStore, table: pd.DataFrame, variant: _Variant, parts: list[str]
) -> _Trained:
    runs: dict[str, list[np.ndarray]] = {part: [] for part in parts}
    train, val = (table.loc[table["split"] == part, ["image_id", "mos"]] for part in ("train", "val"))
    seconds = []
    for seed in SEEDS:
        head = build_head(input_dim=store.dim, seed=seed, **variant.head)
        chosen = Train(**settings.train.model_dump() | {"seed": seed, "loss": variant.loss})
        start = time.perf_counter()
        weights, _ = train_head(head, store, train, val, chosen, device=device(settings.runtime.device))
        seconds.append(time.perf_counter() - start)
        head.load_state_dict(weights)
        for part in parts:
            ids = list(table.loc[table["split"] == part, "image_id"])
            runs[part].append(predict(head, store, ids, device=device(settings.runtime.device)).to_numpy())
    return _Trained(runs, float(np.mean(seconds)), sum(weight.numel() for weight in head.parameters()))


def _cells(images: pd.DataFrame, runs: Sequence[np.ndarray], first: Sequence[np.ndarray], settings: Settings) -> str:
    clusters = pd.factorize(prompt_groups(images))[0]
    sampling = {"resamples": settings.evaluate.bootstrap, "seed": settings.evaluate.seed}
    found, intervals, gains = [], [], []
    for run, other in zip(runs, first, strict=True):
        srcc = metrics.srcc(run, images["mos"])
        interval = bootstrap.interval(bootstrap.srcc, run, images["mos"], clusters, **sampling)
        gain = bootstrap.srcc_gain(run, other, images["mos"], clusters, **sampling)
        if srcc is None or interval is None or gain is None or gain.interval is None:
            return "– | –"
        found.append(srcc)
        intervals.append(interval)
        gains.append([gain.srcc, *gain.interval])
    low, high = np.mean(intervals, axis=0)
    cell = f"{np.mean(found):.3f} ± {np.std(found, ddof=1):.3f} ({low:.3f}–{high:.3f})"
    if runs is first:
        return f"{cell} | –"
    mean, low, high = np.mean(gains, axis=0)
    return f"{cell} | {mean:+.3f} ({low:+.3f} to {high:+.3f})"


def _sizes(table: pd.DataFrame) -> dict[str, int]:
    return {part: int((table["split"] == part).sum()) for part in ("train", "val", "test")}


def _words(loss: dict[str, float]) -> str:
    return " + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in loss.items() if weight)


if __name__ == "__main__":
    main()
