"""evaluate: the head scores the test images, once, beside every baseline on the same rows.

results/metrics.json holds the few figures that people compare, results/evaluation.json all of them,
results/predictions.csv each image, results/plots/ what only the plots need. A figure that cannot be
computed is null. With `evaluate.on` the test images are those of another data set, which the stage
cross has put through the same MLLM; everything learnt, the baselines too, still comes from `dataset`.
"""

from array import array
from collections.abc import Sequence
from functools import partial
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analyzers.measurements import measure
from data.feature_store.said import read_said
from data.feature_store.store import FeatureStore
from data.splitting.prompts import pictures_seen
from data.tables.frames import joined, read_samples, read_table
from evaluation import baselines, metrics
from evaluation.ceiling import ceiling
from evaluation.figures import Agreement, headline, prompts_seen, rounded
from evaluation.held_out import HeldOut, Images, held_out
from evaluation.metrics import Floats
from evaluation.piqe import piqe
from evaluation.result_tables import baselines_csv, predictions_csv
from evaluation.rows_on_disk import RowsOnDisk
from m3agiqa.aspects import MOS_RANGE
from m3agiqa.device import device
from m3agiqa.files import read_json, write_json, write_text
from m3agiqa.head.model import load_head
from m3agiqa.images import load_image
from m3agiqa.mllm.conversation import RATING_WORDS, word_of
from m3agiqa.progress import progress
from pipeline import paths
from pipeline.put_away import put_away
from pipeline.settings import Settings
from pipeline.stage import stage
from pipeline.unfinished import cache

DECIMALS = 6  # what is written: more digits would only record the order of additions


def main(settings: Settings) -> None:
    own = paths.of_dataset(settings.dataset, settings.aspect)
    sets = [own, paths.of_cross(settings.dataset, settings.aspect)] if settings.evaluate.on else [own]
    tables = [_table(one, settings.aspect) for one in sets]
    stores = [FeatureStore.open(one.features) for one in sets]
    if settings.evaluate.on:  # learn from the one, be tested on the other
        put_away("features", stores[-1].fingerprint)  # as train did those of its own
        tables = [
            table[(table["split"] == "test") == tested] for table, tested in zip(tables, (False, True), strict=True)
        ]
    table = pd.concat(tables, ignore_index=True)
    test = table[table["split"] == "test"].reset_index(drop=True)

    val = tables[0][tables[0]["split"] == "val"]
    judges = _judges(settings, Images(stores[0], val), Images(stores[-1], test))
    test["predicted"] = judges.whole.predicted
    _, curve = metrics.plcc_fitted(test["predicted"], test["mos"])
    test["fitted"] = np.nan if curve is None else curve(test["predicted"])
    test["residual"] = test["mos"] - test["predicted"]
    test["word_mos"] = test["mos"].map(word_of)

    measured = _measurements(table)
    table["piqe"] = measured.pop("piqe")
    cache().mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=cache()) as file, TemporaryFile(dir=cache()) as other:
        states, vision = RowsOnDisk(file), RowsOnDisk(other)
        for store, its in zip(stores, tables, strict=True):
            for image_id in progress(its["image_id"], total=len(its), desc="average", unit="images"):
                states.add(store[image_id].float().mean(dim=0).numpy())
                seen = store.vision(image_id)
                vision.add(np.empty(0, np.float32) if seen is None else seen.numpy())
        rivals = _rivals(baselines.Rows(table, measured, states, vision))
    figures = rounded(_figures(settings, table, test, rivals, judges), DECIMALS)
    write_text(paths.RESULTS / "predictions.csv", predictions_csv(test, DECIMALS))
    write_text(paths.RESULTS / "plots" / "baselines.csv", baselines_csv(figures))
    write_json(paths.EVALUATION, figures)
    write_json(paths.METRICS, headline(figures))


class _Judges(NamedTuple):
    """The head that reads image and description, and the one that reads the image alone."""

    whole: HeldOut
    fast: HeldOut


def _judges(settings: Settings, val: Images, test: Images) -> _Judges:
    judge = partial(held_out, device=device(settings.runtime.device), progress=progress)
    whole, fast = (load_head(of(settings.dataset, settings.aspect)) for of in (paths.head, paths.fast_head))
    return _Judges(judge(whole, val, test), judge(fast, val.without_descriptions(), test.without_descriptions()))


class _Rivals(NamedTuple):
    """The baselines' predictions of the test images, and which of them is to be beaten."""

    predicted: dict[str, Floats | None]
    best: str | None


def _rivals(rows: baselines.Rows) -> _Rivals:
    found, test = baselines.predict_all(rows), rows.where("test")
    predicted = {name: None if scores is None else scores[test] for name, scores in found.items()}
    return _Rivals(predicted, baselines.best_on_val(rows, found))


def _table(of: paths.DatasetPaths, aspect: str) -> pd.DataFrame:
    """One row an image: what is known of it, its MOS of the aspect, and what the student said."""
    samples = read_samples(of.samples, aspect, ["path", "prompt", "generator", "pixels"])
    table = joined(samples, read_table(of.splits), aspect)
    table = table.rename(columns={f"mos_{aspect}": "mos", f"std_{aspect}": "std"})
    table = table.merge(read_said(of.descriptions, of.features), on="image_id", validate="one_to_one")
    table["level"] = table["word"].map(RATING_WORDS.index)
    table["file"] = [str(of.raw / path) for path in table["path"]]
    truth, column = of.raw / "truth.parquet", f"truth_{aspect}"  # only simulated data sets have it
    known = read_table(truth, [column]).set_index("image_id")[column] if truth.exists() else pd.Series(dtype=float)
    return table.assign(truth=table["image_id"].map(known))


def _measurements(table: pd.DataFrame) -> pd.DataFrame:
    """The offline teacher's measures of each image, and its PIQE."""
    measured: dict[str, array[float]] = {}
    for file in progress(table["file"], total=len(table), desc="measure", unit="images"):
        image = load_image(file)
        for name, value in {**measure(image), "piqe": piqe(image)}.items():
            measured.setdefault(name, array("d")).append(value)
    return pd.DataFrame({name: np.frombuffer(values) for name, values in measured.items()})


def _figures(
    settings: Settings, table: pd.DataFrame, test: pd.DataFrame, rivals: _Rivals, judges: _Judges
) -> dict[str, Any]:
    about = _about(settings)
    agreement = Agreement(test, settings.evaluate.bootstrap, settings.evaluate.seed)
    ours = agreement.model(test["predicted"])
    theirs = {name: None if scores is None else agreement.baseline(scores) for name, scores in rivals.predicted.items()}
    highest = ceiling(test, about["raters"], averaged=about["averaged"], seed=settings.evaluate.seed)
    best = highest["srcc"] or highest["srcc_from_spread"]
    levels = test["word_mos"].map(RATING_WORDS.index)
    return {
        "dataset": settings.dataset,
        "on": about["on"],
        "cross": settings.evaluate.on is not None,
        "aspect": settings.aspect,
        "mllm": settings.mllm,
        "head": settings.head,
        "distilled": settings.distill.enabled,
        "protocol": settings.split.protocol,
        "seeds": {
            "split": settings.split.seed,
            "distill": settings.distill.seed,
            "train": settings.train.seed,
            "evaluate": settings.evaluate.seed,
        },
        "n": len(test),
        "n_train": int((table["split"] == "train").sum()),
        "n_val": int((table["split"] == "val").sum()),
        "prompts_seen": prompts_seen(table),
        "n_pictures_seen": pictures_seen(table),
        "n_fewer_views": int(table["fewer_views"].sum()),  # images and descriptions of which a part had to give way
        "n_shortened": int(table["shortened"].sum()),
        "n_cut_off": int(table["cut_off"].sum()),  # descriptions that max_new_tokens ended
        **_made(settings),
        **ours,
        "interval": judges.whole.interval,
        "preference": judges.whole.preference,
        "choosing": agreement.choosing(),
        "fast": _fast(agreement, judges),
        "original_scale": _original_scale(about["scale"], ours["rmse"]),
        "word_accuracy": metrics.level_accuracy(test["level"], levels),
        "word_within_one": metrics.level_accuracy(test["level"], levels, within=1),
        "ceiling": highest,
        "srcc_of_ceiling": ours["srcc"] / best if ours["srcc"] is not None and best else None,
        "baselines": theirs,
        "gain": _gain(agreement, test, rivals),
    }


def _made(settings: Settings) -> dict[str, Any]:
    """How many explanations distill shortened, and what each stage ran on (docs/reproducibility.md)."""
    own, other = (of(settings.dataset, settings.aspect) for of in (paths.of_dataset, paths.of_cross))
    distilled = read_json(paths.adapter(settings.dataset, settings.aspect) / "distill.json")
    ran = {"describe": own.descriptions_made_on, "features": own.features_made_on}
    for name, folder in (("train", paths.head), ("train_fast", paths.fast_head)):
        ran[name] = paths.head_made_on(folder(settings.dataset, settings.aspect))
    if settings.evaluate.on:
        ran["cross"] = other.features_made_on
    made_on = {"distill": distilled["made_on"], **{name: read_json(path) for name, path in ran.items()}}
    return {"n_taught_shortened": distilled["shortened"], "made_on": made_on}


def _fast(agreement: Agreement, judges: _Judges) -> dict[str, Any]:
    """What the judge reaches that writes no description, and what it loses by that."""
    _, interval, preference = judges.fast
    lost = agreement.gain(judges.fast.predicted, "whole", judges.whole.predicted)
    return {
        **agreement.baseline(judges.fast.predicted),
        "interval": interval,
        "preference": preference,
        "gain": lost,
    }


def _gain(agreement: Agreement, test: pd.DataFrame, rivals: _Rivals) -> dict[str, Any] | None:
    """Over the rival that is to be beaten, if there is one."""
    scores = rivals.predicted[rivals.best] if rivals.best else None
    if rivals.best is None or scores is None:
        return None
    return agreement.gain(test["predicted"], rivals.best, scores)


def _about(settings: Settings) -> dict[str, Any]:
    """What the test images' data set is called, its raters' own scale, and how its MOS came about, if known."""
    if settings.evaluate.on:
        about: dict[str, Any] = read_json(paths.cross(settings.dataset, settings.aspect) / "cross.json")
        return about
    on = settings.split.on or settings.dataset
    profile = settings.datasets[on]
    return {"on": on, "scale": profile.scale, "raters": profile.raters, "averaged": profile.averaged}


def _original_scale(scale: Sequence[float], rmse: float | None) -> dict[str, Any]:
    """Correlations are the same on every scale; the error is not."""
    low, high = scale
    share = (high - low) / (MOS_RANGE[1] - MOS_RANGE[0])
    return {"lowest": float(low), "highest": float(high), "rmse": None if rmse is None else rmse * share}


if __name__ == "__main__":
    stage(main)
