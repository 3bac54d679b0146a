"""features: image and conversation through the distilled MLLM once; its last hidden states to Parquet.

The sequence is image + question + the student's own description + the request to rate, without the
answer word. Whole parts survive a kill in the scratch folder; the next run writes the rest.
"""

import shutil
from collections.abc import Iterator

import pandas as pd

from analyzers.conversation import conversation, questions_fingerprint
from analyzers.mllm import LocalMLLM, Reading
from data import feature_store
from data.files import fingerprint, sha256
from data.images import load_image
from data.tables import read_table, require_aspect
from stages import paths
from stages.processes import first_shows_progress, process, share
from stages.run import Scratch, stage
from stages.settings import Settings
from stages.student import CODE, load_student


def main(settings: Settings) -> None:
    dataset, aspect = settings.dataset, settings.aspect
    samples = read_table(paths.samples(dataset), ["path", "prompt", "sha256"])
    require_aspect(samples, aspect)
    descriptions = read_table(paths.descriptions(dataset, aspect), ["description"])
    samples = samples.merge(descriptions, on="image_id", validate="1:1").set_index("image_id")

    here = process(settings)
    student = load_student(settings)
    made_from = {
        "mllm": student.identity,
        "layer": "last",
        "questions": questions_fingerprint(aspect),
        "descriptions": sha256(paths.descriptions(dataset, aspect)),
        "images": fingerprint(samples["sha256"].tolist()),
    }
    with Scratch("features", made_from, code=[*CODE, feature_store], wait=here.wait_for_everyone) as scratch:
        writer = feature_store.FeatureWriter(scratch.path, made_from, list(samples.index))
        missing = share(writer.missing())
        here.wait_for_everyone()  # all know what is missing before any writes
        for part in first_shows_progress(missing, total=len(missing), desc="features", unit="parts"):
            writer.write(part, _states(student, samples.loc[list(part.image_ids)], settings))
        here.wait_for_everyone()
        if here.is_main_process:
            shutil.rmtree(paths.features(dataset, aspect), ignore_errors=True)
            writer.publish(paths.features(dataset, aspect))
        here.wait_for_everyone()


def _states(student: LocalMLLM, part: pd.DataFrame, settings: Settings) -> Iterator[feature_store.Row]:
    """Each image's states, in the part's order; batches hold similar lengths, so that little is padding."""
    by_length = part.sort_values("description", key=lambda text: text.str.len(), kind="stable")
    readings: dict[str, Reading] = {}
    for start in range(0, len(by_length), settings.runtime.batch):
        batch = by_length.iloc[start : start + settings.runtime.batch]
        images = [load_image(paths.raw(settings.dataset) / path) for path in batch["path"]]
        rounds = zip(batch["prompt"], batch["description"], strict=True)
        asked = [conversation(settings.aspect, prompt, description) for prompt, description in rounds]
        readings.update(zip(batch.index, student.read(images, asked), strict=True))
    for image_id in part.index:
        yield image_id, readings[image_id].states, readings[image_id].description


if __name__ == "__main__":
    stage(main, parallel=True)
