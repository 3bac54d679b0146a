"""describe: the distilled MLLM describes every image and rates it with one word.

The same text feeds the head in training and in use, so the student describes the train images too:
the teacher's words never reach the head. Each batch is journalled as soon as it is answered.
"""

import pandas as pd

from analyzers.conversation import conversation, questions_fingerprint
from analyzers.mllm import LocalMLLM
from data.files import fingerprint
from data.images import load_image
from data.journal import Journal
from data.tables import read_table, require_aspect, write_table
from stages import paths
from stages.progress import progress
from stages.run import Scratch, stage
from stages.settings import Settings
from stages.student import CODE, load_student


def main(settings: Settings) -> None:
    describe_all(settings, paths.places(settings.dataset, settings.aspect)[0])


def describe_all(settings: Settings, place: paths.Place) -> None:
    """Write the descriptions of every image of `place`."""
    aspect, profile = settings.aspect, settings.mllms[settings.mllm]
    samples = read_table(place.raw / "samples.parquet", ["path", "prompt", "sha256"])
    require_aspect(samples, aspect)
    student = load_student(settings)
    asked_of = [student.identity, questions_fingerprint(aspect), profile.max_new_tokens]
    # Similar lengths together: little padding.
    samples = samples.sort_values("prompt", key=lambda prompts: prompts.str.len(), kind="stable")
    size = settings.runtime.batch
    batches = [samples.iloc[start : start + size] for start in range(0, len(samples), size)]
    described = []
    with (
        Scratch("describe", asked_of, code=CODE) as scratch,
        Journal(scratch.path / "journal.jsonl") as journal,
    ):
        answered = {record["key"]: number for number, record in enumerate(journal)}
        for batch in progress(batches, total=len(batches), desc="describe", unit="batches"):
            key = fingerprint(batch[["image_id", "prompt", "sha256"]].to_numpy().tolist())
            if key not in answered:
                answered[key] = journal.append({"key": key, **_answers(student, batch, settings, place)})
            answers = {column: journal[answered[key]][column] for column in ("description", "word")}
            described.append(pd.DataFrame({"image_id": batch["image_id"].to_numpy(), **answers}))
        write_table(pd.concat(described), place.descriptions)


def _answers(student: LocalMLLM, batch: pd.DataFrame, settings: Settings, place: paths.Place) -> dict[str, list[str]]:
    aspect = settings.aspect
    images = [load_image(place.raw / path) for path in batch["path"]]
    asked = [conversation(aspect, prompt) for prompt in batch["prompt"]]
    descriptions = student.describe(images, asked, settings.mllms[settings.mllm].max_new_tokens)
    rounds = zip(batch["prompt"], descriptions, strict=True)
    words = student.rate(images, [conversation(aspect, prompt, text) for prompt, text in rounds])
    return {"description": descriptions, "word": words}


if __name__ == "__main__":
    stage(main)
