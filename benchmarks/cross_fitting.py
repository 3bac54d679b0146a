"""What cross-fitting is worth: `python -m benchmarks.cross_fitting` after the stages up to caption.

A head learns from readings of train images, which its student was taught and rates better than others. Cross-fitting:
the train images are halved by prompt, a student is taught on each half by the same recipe, and reads the other. Val and
test images are then read by the student taught on all, as it ships, or by both, and the two scores averaged.

Of each: how often the student's word is right, the loss on val, by which one may choose, and of the test images SRCC,
PLCC, RMSE and the conformal interval. Mean ± standard deviation over the SEEDS of the head; 95 % intervals resample
prompts and are averaged over the seeds. The floor is the first row, as the stages do it: one student reads all images.
Differences are from it, and paired. Each student has one seed, and so has the halving.
"""

import argparse
import contextlib
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from data.feature_store.store import FeatureStore
from data.feature_store.writer import FeatureWriter, ReadImage
from data.splitting.prompts import prompt_groups
from data.tables.frames import SPLITS, joined, read_samples, read_table, split_column, write_table
from evaluation import bootstrap, conformal
from evaluation.metrics import Floats
from evaluation.predictions import predict
from finetune.heads import losses
from finetune.heads.training import train_head
from finetune.student import load_student, longest_first
from m3agiqa.aspects import ASPECTS
from m3agiqa.device import device
from m3agiqa.head.model import build_head
from m3agiqa.mllm.conversation import word_of
from m3agiqa.mllm.model import LocalMLLM
from pipeline import paths
from pipeline.settings import Settings, load
from stages import describe, distill, features

SEEDS = (0, 1, 2)
ALL, *HALVES = STUDENTS = ("all", "first half", "second half")  # by the train images that they are taught
FIGURES = (bootstrap.srcc, bootstrap.plcc, bootstrap.rmse)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--aspect", choices=ASPECTS, help="instead of that in params.yaml")
    settings = load()
    settings = settings.model_copy(update={"aspect": parser.parse_args(argv).aspect or settings.aspect})
    dataset, aspect = settings.dataset, settings.aspect
    samples = read_samples(paths.samples(dataset), aspect, ["path", "prompt", "sha256", "pixels"])
    images = joined(samples, read_table(paths.splits(dataset)), aspect).rename(columns={f"mos_{aspect}": "mos"})
    sizes = images["split"].value_counts()
    print(f"{dataset}, {aspect}, seeds {SEEDS}: " + ", ".join(f"{sizes[part]} {part}" for part in SPLITS), flush=True)
    with TemporaryDirectory() as folder:
        readings = _readings(settings, images, Path(folder))
        _print_shifts(readings)
        named = readings.set_index("image_id")["read"]
        writer = FeatureWriter(Path(folder) / "states", {"students": STUDENTS}, list(named.index))
        for part in writer.parts:
            writer.write(part, (named[name]._replace(image_id=name) for name in part.image_ids))
        _print_variants(settings, images, readings, FeatureStore.open(writer.folder))


def _readings(settings: Settings, images: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """A row a reading of an `image` by a `student`, `image_id` naming both; no half reads what it was taught."""
    half, found = _halves(images), []
    for student in STUDENTS:
        asked = images[half.ne(student)]
        others = images[half.isin(HALVES) & half.ne(student)] if student in HALVES else images[:0]
        start = time.perf_counter()
        taught = _taught(settings, others["image_id"], folder / student)
        between = time.perf_counter()
        read = {row.image_id: row for row in _read(taught, asked, settings)}
        spent = f"{between - start:.0f} s to teach, {time.perf_counter() - between:.0f} s to describe and read"
        print(f"{student}: {half.isin(HALVES).sum() - len(others)} images taught, {spent} {len(asked)}", flush=True)
        its = asked.assign(image=asked["image_id"], image_id=asked["image_id"] + f" {student}", student=student)
        found.append(its.assign(read=its["image"].map(read)))
    return pd.concat(found, ignore_index=True)


def _halves(images: pd.DataFrame) -> pd.Series:
    """The student that each train image is taught, "" for other images; no prompt is in both halves."""
    prompts = prompt_groups(images[images["split"].eq("train")])
    first = np.random.default_rng(0).permutation(prompts.unique())[::2]
    return pd.Series(np.where(prompts.isin(first), *HALVES), prompts.index).reindex(images.index, fill_value="")


def _taught(settings: Settings, left_out: pd.Series, folder: Path) -> LocalMLLM:
    """A student taught by the stage distill, in `folder`, as if the images `left_out` were none to learn from."""
    splits = read_table(paths.splits(settings.dataset))
    splits.loc[splits["image_id"].isin(left_out), split_column(splits, settings.aspect)] = "test"
    write_table(splits, folder / paths.splits(settings.dataset))
    used = paths.raw(settings.dataset), paths.captions(settings.dataset), Path(settings.mllms[settings.mllm].model)
    for path in used:
        if path.exists() and not path.is_absolute():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(path.absolute())
    with contextlib.chdir(folder):
        distill.main(settings)
        return load_student(settings)


def _read(student: LocalMLLM, images: pd.DataFrame, settings: Settings) -> list[ReadImage]:
    """What it describes and then reads, as in the stages describe and features."""
    raw = paths.raw(settings.dataset)
    cut = describe.batches(student, images, settings, raw)
    answers = zip(cut, describe.answers(student, cut, settings, raw), strict=True)
    described = pd.concat([batch.assign(**answer) for batch, answer in answers]).set_index("image_id")
    student.compile()
    (rows,) = features.states(student, [longest_first(student, described, settings.aspect, raw)], settings, raw)
    return rows


def _print_shifts(readings: pd.DataFrame) -> None:
    """How far apart the mean states of val and test images lie, student from student."""
    unseen = readings[readings["split"].ne("train")].sort_values("image")
    means = {
        student: np.stack([read.states.float().mean(dim=0).cpu().numpy() for read in its])  # (images, D)
        for student, its in unseen.groupby("student")["read"]
    }
    for one, other in combinations(STUDENTS, 2):
        apart = (means[one] - means[other]) / (means[ALL].std(axis=0) + np.finfo(np.float32).eps)
        shift, each = (np.sqrt(np.mean(np.square(values))) for values in (apart.mean(axis=0), apart))
        print(f"states of {one} and {other}: {shift:.2f} of the images' spread apart, image by image {each:.2f}")


def _print_variants(settings: Settings, images: pd.DataFrame, readings: pd.DataFrame, store: FeatureStore) -> None:
    whole, crossed = readings[readings["student"].eq(ALL)], readings[readings["student"].ne(ALL)]
    mixed = pd.concat([crossed[crossed["split"].eq("train")], whole[whole["split"].ne("train")]])
    variants = {"as it is": whole, "cross-fitted, then the student of all": mixed, "cross-fitted, then both": crossed}
    columns = ["readings", *(f"words right on {part}" for part in SPLITS), "val loss"]
    columns += [column for figure in FIGURES for column in (f"test {figure.__name__.upper()}", "… less the first")]
    columns += ["90 % interval", "test images inside", "s a head"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    val, test = (images[images["split"].eq(part)].set_index("image_id", drop=False) for part in ("val", "test"))
    floor: list[Floats] = []
    for name, its in variants.items():
        start = time.perf_counter()
        runs = [_scored(settings, store, its, seed) for seed in SEEDS]
        seconds = (time.perf_counter() - start) / len(SEEDS)
        known, tested = ([run.scores[part.index].to_numpy() for run in runs] for part in (val, test))
        floor = floor or tested
        right = its["read"].map(lambda read: read.word).eq(its["mos"].map(word_of)).groupby(its["split"]).mean()
        both = zip(known, tested, strict=True)
        wide = [conformal.interval(one, val["mos"], prompt_groups(val), new, test["mos"]) for one, new in both]
        cells = [name, *(f"{right[part]:.2f}" for part in SPLITS), _of_seeds([run.val_loss for run in runs])]
        cells += [cell for figure in FIGURES for cell in _compared(figure, tested, floor, test, settings)]
        cells += [_of_seeds([each[key] for each in wide]) for key in ("half_width", "coverage")]
        print("| " + " | ".join([*cells, f"{seconds:.0f}"]) + " |", flush=True)


class _Scored(NamedTuple):
    scores: pd.Series  # by image, of val and test: the mean over its readings
    val_loss: float  # of these


def _scored(settings: Settings, store: FeatureStore, readings: pd.DataFrame, seed: int) -> _Scored:
    """What a head makes of val and test that has learnt from the train readings, its epoch selected on val's."""
    where, chosen = device(settings.runtime.device), settings.train.model_copy(update={"seed": seed})
    train, val = (readings.loc[readings["split"].eq(part), ["image_id", "mos"]] for part in ("train", "val"))
    head = build_head(input_dim=store.dim, seed=seed, **settings.heads[settings.head].model_dump())
    head.load_state_dict(train_head(head, store, train, val, chosen, device=where).weights)
    asked = readings[readings["split"].ne("train")]
    predicted = predict(head, store, list(asked["image_id"]), device=where).to_numpy()
    images = asked.assign(score=predicted).groupby("image").agg({"split": "first", "score": "mean", "mos": "first"})
    scores, mos = torch.tensor(images.query("split == 'val'")[["score", "mos"]].to_numpy(np.float32).T, device=where)
    return _Scored(images["score"], losses.value(chosen.loss.model_dump(), scores, mos, head.mos_scale))


def _compared(
    figure: bootstrap.Figure, runs: Sequence[Floats], floor: Sequence[Floats], images: pd.DataFrame, settings: Settings
) -> list[str]:
    """A figure of the seeds' scores, and what it has over that of the floor's."""
    clusters, mos = pd.factorize(prompt_groups(images))[0], images["mos"].to_numpy()
    resampled = bootstrap.resampled(clusters, settings.evaluate.bootstrap, settings.evaluate.seed)
    counts = np.concatenate([np.ones((1, len(mos))), *resampled])  # the images themselves, then the resamples
    found = [figure(counts, run, mos) for run in runs]
    cell = _of_seeds([values[0] for values in found])
    if runs is floor:
        return [cell, "–"]
    gains = [values - figure(counts, other, mos) for values, other in zip(found, floor, strict=True)]
    prompts = bootstrap.effective_number(clusters)
    low, high = np.mean([bootstrap.difference_of(gain[1:], prompts)[:2] for gain in gains], axis=0)
    return [cell, f"{np.mean([gain[0] for gain in gains]):+.3f} ({low:+.3f} to {high:+.3f})"]


def _of_seeds(values: Sequence[float | None]) -> str:
    """Mean ± standard deviation; – where a seed has no value."""
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.3f} ± {np.std(known, ddof=1):.3f}" if len(known) == len(values) else "–"


if __name__ == "__main__":
    main()
