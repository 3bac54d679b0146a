"""What other readers find in the same hidden states: `python -m benchmarks.readers` after `dvc repro`.

Where the head is no better than a ridge regression: is the head too weak, or do the states hold no more? Readers of
other kinds learn from the training images' states and take their settings from the squared error on the validation
images, where the head's epoch comes from. `mean` is an image's mean state, `statistics` what reaches the head's
regressor past its stack; `blend` weighs them all and the head by the errors on val (stacked regression, Breiman 1996).

Shown is agreement with the validation images' MOS, by which one may choose; `--test` adds the test images, by which
one may not. 95 % intervals resample prompts; differences from the head are paired. More data sets to ask:
`dvc exp run -S datasets.synthetic.seed=101`.
"""

from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import nnls
from sklearn.base import RegressorMixin
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from benchmarks.cached_states import arguments, cached_states
from data.feature_store.store import FeatureStore
from data.splitting.prompts import prompt_groups
from evaluation import bootstrap, metrics
from evaluation.predictions import predict
from m3agiqa.device import device
from m3agiqa.head.batch import Batch, Row
from m3agiqa.head.model import load_head, statistics
from pipeline import paths

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

WIDTHS = (0.05, 0.15, 0.5)  # of the kernel, where a feature's variance is 1 / their number
READERS = {
    "ridge": [Ridge(penalty) for penalty in np.logspace(-4, 2, 13)],
    "kernel ridge": [
        KernelRidge(alpha=penalty, kernel="rbf", gamma=width)
        for penalty, width in product(np.logspace(-3, 1, 9), WIDTHS)
    ],
    "support vectors": [SVR(C=cost, gamma=width) for cost, width in product((0.3, 1, 3, 10), WIDTHS)],
}


def main() -> None:
    parts = arguments(__doc__.splitlines()[0]).parse_args().parts
    settings, table, store = cached_states()
    dataset, aspect = settings.dataset, settings.aspect
    rows = {part: np.flatnonzero(table["split"] == part) for part in ("train", "val", *parts)}
    head = predict(
        load_head(paths.head(dataset, aspect)), store, list(table["image_id"]), device=device(settings.runtime.device)
    )

    mean, spread = table["mos"].iloc[rows["train"]].agg(["mean", "std"])
    mos = (table["mos"].to_numpy(float) - mean) / spread
    found = {"head": (head.to_numpy() - mean) / spread}
    seen = _statistics(store, list(table["image_id"]))
    for what, features in (("mean", seen[:, : store.dim]), ("statistics", seen)):
        for name, settled in READERS.items():
            found[f"{name}, {what}"] = _read(settled, features, mos, rows["train"], rows["val"])
    every = np.stack(list(found.values()), axis=1)  # (N, readers)
    found["blend"] = every @ nnls(every[rows["val"]], mos[rows["val"]])[0]

    print(f"{dataset}, {aspect}: " + ", ".join(f"{len(places)} {part}" for part, places in rows.items()))
    print("| reader | " + " | ".join(f"{part} SRCC | … less the head" for part in parts) + " |")
    print("|---|" + "---|---|" * len(parts))
    sampling = {"resamples": settings.evaluate.bootstrap, "seed": settings.evaluate.seed}
    for name, scores in found.items():
        cells = [
            _cells(table.iloc[rows[part]], scores[rows[part]], found["head"][rows[part]], **sampling) for part in parts
        ]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def _statistics(store: FeatureStore, ids: list[str]) -> Floats:
    """(N, 4 D): of each image, as the head takes them."""
    alone = (Batch.of([Row(image_id, store[image_id].double(), store.description(image_id))]) for image_id in ids)
    return np.concatenate([statistics(*image.tensors).numpy() for image in alone])


def _read(settled: list[RegressorMixin], features: Floats, mos: Floats, train: Rows, val: Rows) -> Floats:
    """(N,): of the reader that is nearest on val."""
    scaled = StandardScaler().fit(features[train]).transform(features) / np.sqrt(features.shape[1])
    read = [reader.fit(scaled[train], mos[train]).predict(scaled) for reader in settled]
    return min(read, key=lambda scores: np.mean((scores[val] - mos[val]) ** 2))


def _cells(images: pd.DataFrame, scores: Floats, head: Floats, **sampling: int) -> str:
    clusters = pd.factorize(prompt_groups(images))[0]
    edges = bootstrap.interval(bootstrap.srcc, scores, images["mos"], clusters, **sampling)
    gain = bootstrap.srcc_gain(scores, head, images["mos"], clusters, **sampling)
    if edges is None or gain is None or gain.interval is None:
        return "– | –"
    cell = f"{metrics.srcc(scores, images['mos']):.3f} ({edges[0]:.3f}–{edges[1]:.3f})"
    if np.array_equal(scores, head):
        return f"{cell} | –"
    low, high = gain.interval
    return f"{cell} | {gain.srcc:+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main()
