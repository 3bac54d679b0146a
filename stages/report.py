"""report: results/report.html, what a run reached, on one page that loads nothing from anywhere.

It shows what caption and evaluate wrote and adds no figure to it. Neither a date nor a host is on it: the same run
gives the same bytes.
"""

import io
from collections.abc import Mapping
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from data.feature_store.said import read_said
from data.tables.frames import read_table
from evaluation.baselines import LABELS
from m3agiqa.files import folder_sha256, read_json, sha256, write_text
from m3agiqa.mllm.conversation import RATING_WORDS
from pipeline import paths
from pipeline.settings import Settings
from pipeline.stage import stage
from report.captions import captions
from report.page import render

TEXTS = {"image_id": str, "word": str, "word_mos": str}


def main(settings: Settings) -> None:
    figures = read_json(paths.EVALUATION)
    of = (paths.of_cross if figures["cross"] else paths.of_dataset)(settings.dataset, settings.aspect)
    page = render(
        figures,
        _rows(of),
        of.raw,
        words=RATING_WORDS,
        labels=LABELS,
        captions=captions(settings.dataset),
        notes=_notes(settings, figures),
        provenance=_provenance(settings, figures),
        params=_params(settings),
    )
    write_text(paths.RESULTS / "report.html", page)


def _rows(of: paths.DatasetPaths) -> pd.DataFrame:
    """The test images as evaluate left them, with their files and whole texts."""
    columns = ["image_id", "mos", "predicted", "word", "word_mos"]
    scored = pd.read_csv(paths.RESULTS / "predictions.csv", dtype=TEXTS, usecols=columns, keep_default_na=False)
    known = ["path", "prompt", "generator"]
    samples = read_table(of.samples, known)[["image_id", *known]]
    said = read_said(of.descriptions, of.features)[["image_id", "description"]]
    return scored.merge(samples, on="image_id", validate="1:1").merge(said, on="image_id", validate="1:1")


def _notes(settings: Settings, figures: Mapping[str, Any]) -> list[str]:
    """What must be known before a figure is believed."""
    notes = []
    if "synthetic" in (figures["dataset"], figures["on"]):
        notes.append(
            "The data set synthetic is simulated: rendered scenes, made-up generators, a made-up panel of raters."
        )
    if settings.teachers[settings.teacher].kind == "offline":
        notes.append("The teacher is a program that measures pixels, not a vision-language model.")
    if figures["cross"]:
        notes.append(f"Cross data set: everything was learnt on {figures['dataset']}, and tested on {figures['on']}.")
    if figures["prompts_seen"]:
        notes.append(f"{figures['prompts_seen']:.0%} of the test prompts were seen in training, with other images.")
    if seen := figures["n_pictures_seen"]:
        notes.append(f"{seen} of the {figures['n']} test images show a picture that is among the training images, too.")
    if not figures["distilled"]:
        notes.append("The MLLM was used as it came, without distillation.")
    return notes


def _provenance(settings: Settings, figures: Mapping[str, Any]) -> dict[str, str]:
    dataset, aspect = settings.dataset, settings.aspect
    mllm = settings.mllms[settings.mllm]
    split = settings.split
    fold = {"k-fold": f", fold {split.fold} of {split.folds}", "ipce-k": f", list {split.fold}"}.get(split.protocol, "")
    seeds = ", ".join(f"{name} {seed}" for name, seed in figures["seeds"].items())
    return {
        "Data set": f"{dataset}, samples sha256 {sha256(paths.samples(dataset))[:16]}",
        **({"Tested on": _tested_on(settings)} if figures["cross"] else {}),
        "Split": f"{split.protocol}{fold}, sha256 {sha256(paths.splits(dataset))[:16]}",
        "Teacher": settings.teacher,
        "MLLM": f"{mllm.model}{f' at {mllm.revision}' if mllm.revision else ''}, {mllm.dtype}",
        "Adapter": f"sha256 {folder_sha256(paths.adapter(dataset, aspect))[:16]}",
        "Head": f"{settings.head}, sha256 {folder_sha256(paths.head(dataset, aspect))[:16]}",
        "Seeds": seeds,
        "Intervals": f"{settings.evaluate.bootstrap} resamples of prompts",
    }


def _tested_on(settings: Settings) -> str:
    samples = paths.of_cross(settings.dataset, settings.aspect).samples
    return f"{settings.evaluate.on}, samples sha256 {sha256(samples)[:16]}"


def _params(settings: Settings) -> str:
    """The params that shaped the run, as in params.yaml; `runtime` changes no result."""
    chosen = {name: getattr(settings, name) for name in ("dataset", "aspect", "teacher", "mllm", "head")}
    for kind in ("dataset", "teacher", "mllm", "head"):
        profiles = getattr(settings, f"{kind}s")
        chosen[f"{kind}s"] = {chosen[kind]: profiles[chosen[kind]].model_dump(mode="json")}
    for section in ("split", "caption", "distill", "describe", "train", "evaluate"):
        chosen[section] = getattr(settings, section).model_dump(mode="json")
    text = io.StringIO()
    YAML().dump(chosen, text)
    return text.getvalue()


if __name__ == "__main__":
    stage(main)
