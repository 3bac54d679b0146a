"""features: image and conversation through the distilled MLLM once; its last hidden states to Parquet.

The sequence is image + question + the student's own description + the request to rate, without the
answer word. Whole parts survive a kill in the scratch folder; the next run writes the rest.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from analyzers.conversation import conversation, questions_fingerprint
from analyzers.mllm import Inputs, LocalMLLM, Reading
from data import feature_writer
from data.ahead import DECODERS, ahead
from data.feature_batch import Row
from data.files import fingerprint, sha256
from data.images import load_image
from data.tables import read_table, require_aspect
from stages import paths
from stages.processes import first_shows_progress, process, share
from stages.run import Scratch, stage
from stages.settings import Settings
from stages.student import CODE, load_student


def main(settings: Settings) -> None:
    read_all(settings, paths.places(settings.dataset, settings.aspect)[0])


def read_all(settings: Settings, place: paths.Place) -> None:
    """Write the hidden states of every image of `place`."""
    aspect = settings.aspect
    samples = read_table(place.raw / "samples.parquet", ["path", "prompt", "sha256"])
    require_aspect(samples, aspect)
    descriptions = read_table(place.descriptions, ["description"])
    samples = samples.merge(descriptions, on="image_id", validate="1:1").set_index("image_id")

    here = process(settings)
    student = load_student(settings)
    student.compile()
    made_from = {
        "mllm": student.identity,
        "layer": "last",
        "questions": questions_fingerprint(aspect),
        "descriptions": sha256(place.descriptions),
        "images": fingerprint(samples["sha256"].tolist()),
    }
    with Scratch("features", made_from, code=[*CODE, feature_writer], wait=here.wait_for_everyone) as scratch:
        writer = feature_writer.FeatureWriter(scratch.path, made_from, list(samples.index))
        missing = share(writer.missing())
        here.wait_for_everyone()  # all know what is missing before any writes
        rows = states(student, [samples.loc[list(part.image_ids)] for part in missing], settings, place.raw)
        for part in first_shows_progress(missing, total=len(missing), desc="features", unit="parts"):
            writer.write(part, next(rows))
        here.wait_for_everyone()
        if here.is_main_process:
            shutil.rmtree(place.features, ignore_errors=True)
            writer.publish(place.features)
        here.wait_for_everyone()


def states(student: LocalMLLM, parts: Sequence[pd.DataFrame], settings: Settings, raw: Path) -> Iterator[list[Row]]:
    """The rows of each part, in its order, from the images below `raw`.

    Batches stay within a part and hold similar lengths, so that little is padding. While one goes through the model,
    threads decode the images of the next, across the parts, and the caller writes those before: a GPU never waits.
    """
    batches = [batch for part in parts for batch in _batches(part, settings.runtime.batch)]

    def inputs(batch: pd.DataFrame) -> list[Inputs]:
        images = [load_image(raw / path) for path in batch["path"]]
        rounds = zip(batch["prompt"], batch["description"], strict=True)
        return student.inputs(images, [conversation(settings.aspect, prompt, text) for prompt, text in rounds])

    on_gpu = student.device.type == "cuda"
    read = ahead(student.read_inputs, ahead(inputs, batches, DECODERS if on_gpu else 1), 2 if on_gpu else 1)
    for part in parts:
        readings: dict[str, Reading] = {}
        for batch in _batches(part, settings.runtime.batch):
            readings.update(zip(batch.index, next(read), strict=True))
        yield [(image_id, readings[image_id].states, readings[image_id].description) for image_id in part.index]


def _batches(part: pd.DataFrame, size: int) -> list[pd.DataFrame]:
    by_length = part.sort_values("description", key=lambda text: text.str.len(), kind="stable")
    return [by_length.iloc[start : start + size] for start in range(0, len(by_length), size)]


if __name__ == "__main__":
    stage(main, parallel=True)
