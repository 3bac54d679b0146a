"""What the parts of a head are worth, on the cached states: `python -m benchmarks.heads` after `dvc repro`.

Every head of params.yaml is trained as the train stage does it, with each of SEEDS, and once more without its
shortcut; then the chosen head with other numbers of blocks, without descriptions, and with `--losses` with every
other loss; a ridge on the descriptions' words alone is the last row. `--untaught CLONE` adds the chosen head on the
states of a student without distillation, which `dvc repro features` made in another clone, with distill.enabled=false.
Same images, steps and selection; what differs is named in the row. Shown is agreement with the validation images' MOS,
by which one may choose; `--test` adds the test images, by which one may not. Mean ± standard deviation over the seeds;
95 % intervals resample prompts and are averaged over the seeds, as are differences from the first row, which are
paired.

`--folds` trains on each fold of a k-fold split in turn and takes all folds' test images, and all val images, as one
data set: of val, an image may be there once a fold. That is right where no fold's test images taught the student:
`distill.enabled=false`, and no adapter or one of other images.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.cached_states import arguments, cached_states, table_of
from data.feature_store.said import read_said
from data.feature_store.store import FeatureStore
from data.splitting.prompts import prompt_groups
from data.tables.frames import SPLITS
from evaluation import baselines, bootstrap, metrics
from evaluation.predictions import predict
from finetune.heads.training import train_head
from m3agiqa.device import device
from m3agiqa.head.model import build_head
from pipeline import paths
from pipeline.profiles import Train
from pipeline.settings import Settings
from stages.split import split_samples

SEEDS = (0, 1, 2)
SCORED = ("val", "test")
BLOCKS = (1, 2, 4)
SLSTM_AT = 1  # where there is a second block, as published
OTHER_LOSSES = ({"huber": 1.0}, {"plcc": 1.0}, {"rank": 1.0}, {"mse": 0.5, "rank": 0.5})

Runs = dict[str, list[np.ndarray]]  # predictions of each part's images, a list over the seeds


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--folds", action="store_true", help="train on every fold; what they were tested on as one")
    parser.add_argument("--losses", action="store_true", help="the chosen head with every other loss, too")
    parser.add_argument("--untaught", type=Path, help="a clone with features made with distill.enabled=false")
    asked = parser.parse_args()
    settings, table, store = cached_states()
    tables = list(_folds(settings)) if asked.folds else [table]
    sizes = ", ".join(f"{len(_rows(tables, part))} {part}" for part in SPLITS)
    print(f"{settings.dataset}, {settings.aspect}, {len(tables)} splits, seeds {SEEDS}: {sizes} images")
    columns = " | ".join(f"{part} SRCC | … from the first row" for part in asked.parts)
    print(f"| head | loss | weights | s | {columns} |\n|---|---|---|---|" + "---|---|" * len(asked.parts))
    first: Runs = {}

    def show(named: Sequence[str], runs: Runs) -> None:
        cells = [_cells(_rows(tables, part), runs[part], (first or runs)[part], settings) for part in asked.parts]
        print("| " + " | ".join([*named, *cells]) + " |", flush=True)

    words = _words_alone(settings, tables)
    untaught = asked.untaught and FeatureStore.open(asked.untaught / paths.features(settings.dataset, settings.aspect))
    for variant in _variants(settings, store, untaught, losses=asked.losses):
        runs, seconds, weights = _train(settings, tables, variant)
        show([variant.name, _words(variant.loss), f"{weights:,}", f"{seconds:.0f}"], runs)
        first = first or runs
    if words:
        show(["words alone, ridge", "", "", ""], words)


def _folds(settings: Settings) -> Iterator[pd.DataFrame]:
    """The images with their parts in each fold."""
    if settings.split.protocol != "k-fold":
        raise SystemExit(f"--folds: split.protocol is {settings.split.protocol}, expected k-fold")
    for fold in range(1, settings.split.folds + 1):
        chosen = settings.split.model_copy(update={"fold": fold})
        yield table_of(settings, split_samples(settings.dataset, chosen, paths.raw(settings.dataset)))


def _rows(tables: Sequence[pd.DataFrame], part: str) -> pd.DataFrame:
    """The part's images of all splits: an image of val once a split."""
    return pd.concat([table[table["split"] == part] for table in tables], ignore_index=True)


class _Variant(NamedTuple):
    name: str
    head: dict[str, Any]  # as build_head takes it
    loss: dict[str, float]
    store: FeatureStore


def _variants(
    settings: Settings, store: FeatureStore, untaught: FeatureStore | None, *, losses: bool
) -> Iterator[_Variant]:
    """First the chosen head, then those that have a shortcut, as they are and without it; the rest is of the chosen."""
    usual, chosen = settings.train.loss.model_dump(), settings.head
    heads = {name: head.model_dump() for name, head in settings.heads.items() if head.shortcut or name == chosen}
    names = sorted(heads, key=lambda name: name != chosen)
    for name in names:
        yield _Variant(name, heads[name], usual, store)
    for name in names:
        if heads[name]["shortcut"] and heads[name]["kind"] != "statistics":
            yield _Variant(f"{name}, no shortcut", heads[name] | {"shortcut": False}, usual, store)
    own = heads[chosen]
    for blocks in BLOCKS if "blocks" in own else ():
        if blocks != own["blocks"]:
            places = {key: [SLSTM_AT] if blocks > SLSTM_AT else [] for key in own.keys() & {"slstm_at"}}
            yield _Variant(f"{chosen}, blocks {blocks}", own | {"blocks": blocks} | places, usual, store)
    yield _Variant(f"{chosen}, no descriptions", own, usual, store.without_descriptions())
    if untaught:
        yield _Variant(f"{chosen}, no distillation", own, usual, untaught)
    for loss in OTHER_LOSSES if losses else ():
        yield _Variant(chosen, own, loss, store)


class _Trained(NamedTuple):
    runs: Runs
    seconds: float  # of a training, on average
    weights: int


def _train(settings: Settings, tables: Sequence[pd.DataFrame], variant: _Variant) -> _Trained:
    store = variant.store
    runs: Runs = {part: [] for part in SCORED}
    where, seconds = device(settings.runtime.device), []
    for seed in SEEDS:
        chosen = Train(**settings.train.model_dump() | {"seed": seed, "loss": variant.loss})
        found: Runs = {part: [] for part in SCORED}
        for table in tables:
            its = {part: table.loc[table["split"] == part, ["image_id", "mos"]] for part in SPLITS}
            head = build_head(input_dim=store.dim, seed=seed, **variant.head)
            start = time.perf_counter()
            weights, _ = train_head(head, store, its["train"], its["val"], chosen, device=where)
            seconds.append(time.perf_counter() - start)
            head.load_state_dict(weights)
            for part in SCORED:
                found[part].append(predict(head, store, list(its[part]["image_id"]), device=where).to_numpy())
        for part in SCORED:
            runs[part].append(np.concatenate(found[part]))
    return _Trained(runs, float(np.mean(seconds)), sum(weight.numel() for weight in head.parameters()))


def _words_alone(settings: Settings, tables: Sequence[pd.DataFrame]) -> Runs:
    """A ridge on the words that the student wrote, as evaluate has it, if it wrote any; no seed is drawn for it."""
    of = paths.of_dataset(settings.dataset, settings.aspect)
    said = read_said(of.descriptions, of.features)[["image_id", "description"]]
    if not said["description"].str.strip().any():
        return {}
    found: Runs = {part: [] for part in SCORED}
    for table in tables:
        rows = table.merge(said, on="image_id", validate="1:1")
        nothing = np.zeros((len(rows), 1), np.float32)
        predicted = baselines.tfidf_description(baselines.Rows(rows, rows[[]], nothing, nothing))
        for part in SCORED:
            found[part].append(predicted[rows["split"] == part])
    return {part: [np.concatenate(each)] * len(SEEDS) for part, each in found.items()}


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


def _words(loss: dict[str, float]) -> str:
    return " + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in loss.items() if weight)


if __name__ == "__main__":
    main()
