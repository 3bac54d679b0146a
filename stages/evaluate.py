"""evaluate: the head scores the test images, once, beside every baseline on the same rows.

results/metrics.json holds the figures, results/predictions.csv each image, results/plots/ what only
the plots need. A figure that cannot be computed is null.
"""

import re
from typing import Any

import numpy as np
import pandas as pd

from analyzers.conversation import RATING_WORDS, word_of
from analyzers.measurements import measure
from data.feature_store import FeatureStore
from data.files import write_json, write_text
from data.images import load_image
from data.tables import joined, read_table, require_aspect
from finetune import baselines, conformal, metrics
from finetune.heads import load_head
from finetune.train_head import predict
from stages import paths
from stages.device import device
from stages.progress import progress
from stages.run import stage
from stages.settings import Settings

DECIMALS = 6  # what is written: more digits would only record the order of additions
LABELS = {
    "generator_mean": "generator mean",
    "tfidf_prompt_generator": "ridge on prompt words + generator",
    "pixel_measurements": "ridge on pixel measurements",
    "tfidf_description": "ridge on description words",
    "mean_hidden_states": "ridge on mean hidden states",
    "student_word": "student's rating word",
}


def main(settings: Settings) -> None:
    dataset, aspect = settings.dataset, settings.aspect
    table = _table(settings)
    test = table[table["split"] == "test"].reset_index(drop=True)
    store = FeatureStore.open(paths.features(dataset, aspect))

    head = load_head(paths.head(dataset, aspect))
    predicted = predict(head, store, list(test["image_id"]), device=device(settings), progress=progress)
    test["predicted"] = predicted.to_numpy()
    val = table[table["split"] == "val"]
    known = predict(head, store, list(val["image_id"]), device=device(settings)), val["mos"]
    interval = conformal.interval(*known, metrics.prompt_clusters(list(val["prompt"])), test["predicted"], test["mos"])
    _, curve = metrics.plcc_fitted(test["predicted"], test["mos"])
    test["fitted"] = np.nan if curve is None else curve(test["predicted"])
    test["residual"] = test["mos"] - test["predicted"]
    test["word_mos"] = test["mos"].map(word_of)

    rivals = baselines.predict_all(baselines.Rows(table, _measurements(settings, table), _mean_states(store, table)))
    figures = {**_figures(settings, table, test, rivals), "interval": _rounded(interval)}
    write_text(paths.RESULTS / "predictions.csv", _predictions_csv(test))
    write_text(paths.RESULTS / "plots" / "baselines.csv", _baselines_csv(figures))
    write_json(paths.RESULTS / "metrics.json", figures)


def _table(settings: Settings) -> pd.DataFrame:
    """One row an image: what is known of it, its MOS of the aspect, and what the student wrote."""
    dataset, aspect = settings.dataset, settings.aspect
    samples = read_table(paths.samples(dataset), ["path", "prompt", "generator"])
    require_aspect(samples, aspect)
    table = joined(samples, read_table(paths.splits(dataset), ["split"])).rename(columns={f"mos_{aspect}": "mos"})
    written = read_table(paths.descriptions(dataset, aspect), ["description", "word"])
    table = table.merge(written[["image_id", "description", "word"]], on="image_id", validate="one_to_one")
    table["level"] = table["word"].map(RATING_WORDS.index)
    return table


def _measurements(settings: Settings, table: pd.DataFrame) -> pd.DataFrame:
    files = progress(table["path"], total=len(table), desc="measure", unit="images")
    return pd.DataFrame([measure(load_image(paths.raw(settings.dataset) / file)) for file in files])


def _mean_states(store: FeatureStore, table: pd.DataFrame) -> np.ndarray:
    """Each image's hidden states, averaged over its tokens, (N, D); one image in memory at a time."""
    means = np.empty((len(table), store.dim), np.float32)
    for row, image_id in enumerate(progress(table["image_id"], total=len(table), desc="average", unit="images")):
        means[row] = store[image_id].float().mean(dim=0).numpy()
    return means


def _figures(
    settings: Settings, table: pd.DataFrame, test: pd.DataFrame, rivals: dict[str, np.ndarray | None]
) -> dict[str, Any]:
    mos, predicted = test["mos"], test["predicted"]
    clusters = metrics.prompt_clusters(list(test["prompt"]))
    sampling = {"resamples": settings.evaluate.bootstrap, "seed": settings.evaluate.seed}

    def agreement(scores: pd.Series | np.ndarray) -> dict[str, Any]:
        return {
            "srcc": metrics.srcc(scores, mos),
            "srcc_ci": metrics.srcc_interval(scores, mos, clusters, **sampling),
            "plcc": metrics.plcc(scores, mos),
            "rmse": metrics.rmse(scores, mos),
        }

    ours = agreement(predicted)
    theirs = {name: None if scores is None else agreement(scores) for name, scores in rivals.items()}
    ceiling = _ceiling(settings, test)
    ranked = [name for name, found in theirs.items() if found and found["srcc"] is not None]
    best = max(ranked, key=lambda name: theirs[name]["srcc"], default=None)
    gain = best and metrics.srcc_gain(predicted, rivals[best], mos, clusters, **sampling)
    levels = test["word_mos"].map(RATING_WORDS.index)
    figures = {
        "dataset": settings.dataset,
        "aspect": settings.aspect,
        "mllm": settings.mllm,
        "head": settings.head,
        "distilled": settings.distill.enabled,
        "seeds": {
            "split": settings.split.seed,
            "distill": settings.distill.seed,
            "train": settings.train.seed,
            "evaluate": settings.evaluate.seed,
        },
        "n": len(test),
        "n_train": int((table["split"] == "train").sum()),
        "n_val": int((table["split"] == "val").sum()),
        **ours,
        "plcc_fitted": metrics.plcc_fitted(predicted, mos)[0],
        "krcc": metrics.krcc(predicted, mos),
        "srcc_within_generator": metrics.srcc_within(predicted, mos, list(test["generator"])),
        "word_accuracy": metrics.level_accuracy(test["level"], levels),
        "word_within_one": metrics.level_accuracy(test["level"], levels, within=1),
        "ceiling": {"srcc": ceiling},
        "srcc_of_ceiling": ours["srcc"] / ceiling if ours["srcc"] is not None and ceiling else None,
        "baselines": theirs,
        "gain": {"over": best, "srcc": gain[0], "srcc_ci": gain[1]} if gain else None,
    }
    return _rounded(figures)


def _ceiling(settings: Settings, test: pd.DataFrame) -> float | None:
    """SRCC of the noise-free truth with the panel's MOS: nobody can rank the images better than that, but by luck."""
    path, column = paths.truth(settings.dataset), f"truth_{settings.aspect}"
    if not path.exists():
        return None  # people rated real images: there is no truth but theirs
    truth = read_table(path, [column]).set_index("image_id")[column]
    return metrics.srcc(test["image_id"].map(truth), test["mos"])


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
    found = {LABELS[name]: rival for name, rival in figures["baselines"].items() if rival and rival["srcc"] is not None}
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


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return round(value, DECIMALS) if isinstance(value, float) else value


if __name__ == "__main__":
    stage(main)
