"""evaluate: the head scores the test images, once, beside every baseline on the same rows.

results/metrics.json holds the figures, results/predictions.csv each image, results/plots/ what only
the plots need. A figure that cannot be computed is null. With `evaluate.on` the test images are those
of another data set, which the stage cross has put through the same MLLM; everything learnt, the
baselines too, still comes from `dataset`.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analyzers.conversation import RATING_WORDS, word_of
from analyzers.measurements import measure
from analyzers.piqe import piqe
from data.feature_store import FeatureStore
from data.files import write_json, write_text
from data.images import load_image
from data.prompts import prompt_groups
from data.tables import MOS_RANGE, joined, read_table, require_aspect
from finetune import baselines, conformal, metrics
from finetune.ceiling import ceiling_from_spread
from finetune.figures import Agreement, prompts_seen, rounded
from finetune.heads import load_head
from finetune.train_head import predict
from stages import paths
from stages.device import device
from stages.progress import progress
from stages.run import stage
from stages.settings import Settings

DECIMALS = 6  # what is written: more digits would only record the order of additions
WRITTEN = ("description", "word", "fewer_views", "shortened")


def main(settings: Settings) -> None:
    places = paths.places(settings.dataset, settings.aspect, cross=bool(settings.evaluate.on))
    tables = [_table(place, settings.aspect) for place in places]
    stores = [FeatureStore.open(place.features) for place in places]
    if settings.evaluate.on:  # learn at home, be tested abroad
        tables = [
            table[(table["split"] == "test") == abroad] for table, abroad in zip(tables, (False, True), strict=True)
        ]
    table = pd.concat(tables, ignore_index=True)
    test = table[table["split"] == "test"].reset_index(drop=True)

    head = load_head(paths.head(settings.dataset, settings.aspect))
    predicted = predict(head, stores[-1], list(test["image_id"]), device=device(settings), progress=progress)
    test["predicted"] = predicted.to_numpy()
    val = tables[0][tables[0]["split"] == "val"]
    known = predict(head, stores[0], list(val["image_id"]), device=device(settings)), val["mos"]
    interval = conformal.interval(*known, prompt_groups(val), test["predicted"], test["mos"])
    _, curve = metrics.plcc_fitted(test["predicted"], test["mos"])
    test["fitted"] = np.nan if curve is None else curve(test["predicted"])
    test["residual"] = test["mos"] - test["predicted"]
    test["word_mos"] = test["mos"].map(word_of)

    measured = _measurements(table)
    table["piqe"] = measured.pop("piqe")
    states = np.concatenate([_mean_states(*pair) for pair in zip(stores, tables, strict=True)])
    rivals = baselines.predict_all(baselines.Rows(table, measured, states))
    figures = rounded({**_figures(settings, table, test, rivals), "interval": interval}, DECIMALS)
    write_text(paths.RESULTS / "predictions.csv", _predictions_csv(test))
    write_text(paths.RESULTS / "plots" / "baselines.csv", _baselines_csv(figures))
    write_json(paths.RESULTS / "metrics.json", figures)


def _table(place: paths.Place, aspect: str) -> pd.DataFrame:
    """One row an image: what is known of it, its MOS of the aspect, and what the student wrote."""
    samples = read_table(place.raw / "samples.parquet", ["path", "prompt", "generator"])
    require_aspect(samples, aspect)
    table = joined(samples, read_table(place.splits, ["split"]), aspect)
    table = table.rename(columns={f"mos_{aspect}": "mos", f"std_{aspect}": "std"})
    written = read_table(place.descriptions, list(WRITTEN))
    table = table.merge(written[["image_id", *WRITTEN]], on="image_id", validate="one_to_one")
    table["level"] = table["word"].map(RATING_WORDS.index)
    table["file"] = [str(place.raw / path) for path in table["path"]]
    truth, column = place.raw / "truth.parquet", f"truth_{aspect}"  # only simulated data sets have it
    known = read_table(truth, [column]).set_index("image_id")[column] if truth.exists() else pd.Series(dtype=float)
    return table.assign(truth=table["image_id"].map(known))


def _measurements(table: pd.DataFrame) -> pd.DataFrame:
    """The offline teacher's measures of each image, and its PIQE."""
    measured = []
    for file in progress(table["file"], total=len(table), desc="measure", unit="images"):
        image = load_image(file)
        measured.append({**measure(image), "piqe": piqe(image)})
    return pd.DataFrame(measured)


def _mean_states(store: FeatureStore, table: pd.DataFrame) -> np.ndarray:
    """Each image's hidden states, averaged over its tokens, (N, D); one image in memory at a time."""
    means = np.empty((len(table), store.dim), np.float32)
    for row, image_id in enumerate(progress(table["image_id"], total=len(table), desc="average", unit="images")):
        means[row] = store[image_id].float().mean(dim=0).numpy()
    return means


def _figures(
    settings: Settings, table: pd.DataFrame, test: pd.DataFrame, rivals: dict[str, np.ndarray | None]
) -> dict[str, Any]:
    about = _about(settings)
    agreement = Agreement(test, settings.evaluate.bootstrap, settings.evaluate.seed)
    ours = agreement.model(test["predicted"])
    theirs = {name: None if scores is None else agreement.baseline(scores) for name, scores in rivals.items()}
    ceiling = _ceiling(test, about["raters"], settings.evaluate.seed)
    best = ceiling["srcc"] or ceiling["srcc_from_spread"]
    levels = test["word_mos"].map(RATING_WORDS.index)
    return {
        "dataset": settings.dataset,
        "on": about["on"],
        "cross": about["on"] != settings.dataset,
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
        "n_fewer_views": int(table["fewer_views"].sum()),  # images and descriptions of which a part had to give way
        "n_shortened": int(table["shortened"].sum()),
        **ours,
        "original_scale": _original_scale(about["scale"], ours["rmse"]),
        "word_accuracy": metrics.level_accuracy(test["level"], levels),
        "word_within_one": metrics.level_accuracy(test["level"], levels, within=1),
        "ceiling": ceiling,
        "srcc_of_ceiling": ours["srcc"] / best if ours["srcc"] is not None and best else None,
        "baselines": theirs,
        "gain": agreement.gain(test["predicted"], rivals, theirs),
    }


def _about(settings: Settings) -> dict[str, Any]:
    """What the test images' data set is called, its raters' own scale, and how many they were an image, if known."""
    if settings.evaluate.on:
        folder = paths.abroad(settings.dataset, settings.aspect)
        return json.loads((folder / "cross.json").read_text(encoding="utf-8"))
    return {"on": settings.dataset, **settings.ratings(settings.dataset)}


def _original_scale(scale: Sequence[float], rmse: float | None) -> dict[str, Any]:
    """Correlations are the same on every scale; the error is not."""
    low, high = scale
    share = (high - low) / (MOS_RANGE[1] - MOS_RANGE[0])
    return {"lowest": float(low), "highest": float(high), "rmse": None if rmse is None else rmse * share}


def _ceiling(test: pd.DataFrame, raters: int | None, seed: int) -> dict[str, float | None]:
    """How well anybody could rank these images, but by luck: what the noise-free truth reaches, where it is known,
    and what the raters' spread leaves, where their number is.
    """
    truth = metrics.srcc(test["truth"], test["mos"]) if test["truth"].notna().all() else None
    known = raters and "std" in test
    found = (ceiling_from_spread(test["mos"], test["std"], raters, seed=seed) if known else None) or {}
    return {"srcc": truth, "srcc_from_spread": found.get("srcc"), "plcc_from_spread": found.get("plcc")}


def _predictions_csv(test: pd.DataFrame) -> str:
    shown = test[
        ["image_id", "generator", "prompt", "mos", "predicted", "fitted", "residual", "word_mos", "word"]
    ].round(DECIMALS)
    # DVC pastes these texts into a <script> of its page, where "</script>" in a prompt would end it.
    for column in ("generator", "prompt"):
        shown[column] = [re.sub(r"<(?=[/!a-zA-Z])", "< ", text) for text in shown[column]]
    return shown.to_csv(index=False, lineterminator="\n")


def _baselines_csv(figures: dict[str, Any]) -> str:
    """List the model, then the baselines from best to worst: the order in which the plot draws them."""
    found = {
        baselines.LABELS[name]: rival
        for name, rival in figures["baselines"].items()
        if rival and rival["srcc"] is not None
    }
    rows = [("this model", "model", figures)] if figures["srcc"] is not None else []
    rows += [(name, "baseline", rival) for name, rival in sorted(found.items(), key=lambda item: -item[1]["srcc"])]
    drawn = [
        {
            "predictor": name,
            "kind": kind,
            "srcc": rival["srcc"],
            "low": (rival["srcc_ci"] or [None, None])[0],
            "high": (rival["srcc_ci"] or [None, None])[1],
            "ceiling": figures["ceiling"]["srcc"],
        }
        for name, kind, rival in rows
    ]
    columns = ["predictor", "kind", "srcc", "low", "high", "ceiling"]
    return pd.DataFrame(drawn, columns=columns).to_csv(index=False, lineterminator="\n")


if __name__ == "__main__":
    stage(main)
