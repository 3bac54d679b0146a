"""features: image and conversation through the distilled MLLM once; its last hidden states to Parquet.

The sequence is image + question + the student's own description + the request to rate, without the
answer word: that comes out of the same pass, and stands beside the states, and so does what had to give way where the
sequence did not fit. Whole parts survive a kill in the scratch folder; the next run writes the rest.
"""

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import pandas as pd

from data.feature_store.writer import FeatureWriter, ReadImage
from data.tables.frames import read_samples, read_table
from finetune.student import load_student, longest_first, naming
from m3agiqa.ahead import DECODERS, ahead
from m3agiqa.device import model_of
from m3agiqa.files import fingerprint, sha256, write_json
from m3agiqa.images import load_image
from m3agiqa.mllm.conversation import conversation, questions_fingerprint
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.readings import Inputs, Reading
from m3agiqa.progress import say
from pipeline import paths
from pipeline.foretell import takes, tried
from pipeline.paths import DatasetPaths
from pipeline.processes import first_shows_progress, made_on, process, share
from pipeline.settings import Settings
from pipeline.stage import stage
from pipeline.unfinished import unfinished


def main(settings: Settings) -> None:
    read_all(settings, paths.of_dataset(settings.dataset, settings.aspect))


def read_all(settings: Settings, of: DatasetPaths) -> None:
    """Write the hidden states of every image of a data set."""
    aspect = settings.aspect
    samples = read_samples(of.samples, aspect, ["path", "prompt", "sha256"])
    descriptions = read_table(of.descriptions, ["description"])
    samples = samples.merge(descriptions, on="image_id", validate="1:1").set_index("image_id")

    here = process(settings.runtime.device)
    student = load_student(settings)
    student.compile()
    samples = longest_first(student, samples, aspect, of.raw)
    made_from = {
        "mllm": student.identity,
        "max_length": student.max_length,
        "layer": "last",
        "questions": questions_fingerprint(aspect, settings.described),
        "descriptions": sha256(of.descriptions),
        "images": fingerprint(samples[["sha256", "prompt"]].to_numpy().tolist()),
    }
    with unfinished("features", made_from, wait=here.wait_for_everyone) as scratch:
        writer = FeatureWriter(scratch.path, made_from, list(samples.index))
        missing = share(writer.missing())
        here.wait_for_everyone()  # all know what is missing before any writes
        if here.is_main_process and missing:
            _foretell(student, [samples.loc[list(part.image_ids)] for part in missing], settings, of.raw)
        rows = states(student, [samples.loc[list(part.image_ids)] for part in missing], settings, of.raw)
        for part in first_shows_progress(missing, total=len(missing), desc="features", unit="parts"):
            writer.write(part, next(rows))
        here.wait_for_everyone()
        if here.is_main_process:
            shutil.rmtree(of.features, ignore_errors=True)
            writer.publish(of.features)
            write_json(of.features_made_on, made_on(settings))
        here.wait_for_everyone()


def states(
    student: LocalMLLM, parts: Sequence[pd.DataFrame], settings: Settings, raw: Path
) -> Iterator[list[ReadImage]]:
    """The rows of each part, in its order, from the images below `raw`.

    Batches stay within a part. While one goes through the model, threads decode the images of the next, across the
    parts, and the caller writes those before: a GPU never waits.
    """
    size = settings.runtime.batch
    cut = [[part.iloc[start : start + size] for start in range(0, len(part), size)] for part in parts]

    def inputs(batch: pd.DataFrame) -> list[Inputs]:
        files = [raw / path for path in batch["path"]]
        rounds = zip(batch["prompt"], batch["description"], strict=True)
        chats = [conversation(settings.aspect, *texts, described=settings.described) for texts in rounds]
        with naming(files):
            return student.inputs([load_image(file) for file in files], chats)

    on_gpu = student.device.type == "cuda"
    made = ahead(inputs, chain.from_iterable(cut), DECODERS if on_gpu else 1)
    read = ahead(partial(student.read_inputs, vision=True), made, 2 if on_gpu else 1)
    for part, its in zip(parts, cut, strict=True):
        readings: dict[str, Reading] = {}
        for batch in its:
            readings.update(zip(batch.index, next(read), strict=True))
        yield [as_stored(image_id, readings[image_id]) for image_id in part.index]


def _foretell(student: LocalMLLM, parts: Sequence[pd.DataFrame], settings: Settings, raw: Path) -> None:
    """Say what this stage will take, from what a few images took."""
    images, batch = sum(map(len, parts)), parts[len(parts) // 2].head(settings.runtime.batch)  # of middle length

    def read(number: int) -> None:
        list(states(student, [batch.head(number)], settings, raw))

    if took := tried(read, images, len(batch), student.device.type):
        say(f"features: {images:,} images on {model_of(settings.runtime.device)}, {takes(images, took.seconds)}")


def as_stored(image_id: str, reading: Reading) -> ReadImage:
    """What a store keeps of a reading."""
    fitted = reading.fitted
    kept = fitted.description if fitted.shortened else None
    return ReadImage(
        image_id=image_id,
        states=reading.states,
        description=reading.description,
        word=reading.word,
        expected=reading.expected,
        fewer_views=fitted.level > 0,
        kept=kept,
        vision=reading.vision,
    )


if __name__ == "__main__":
    stage(main, parallel=True)
