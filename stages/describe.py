"""describe: the distilled MLLM describes every image.

The same text feeds the head in training and in use, so the student describes the train images too:
the teacher's words never reach the head. `description` is what the MLLM wrote, of all aspects that `describe.aspects`
names in one text; `cut_off` tells where it had not ended at `max_new_tokens`, so many for each aspect. Its rating word
comes from the pass that reads both, in features. Each batch is journalled as soon as it is answered.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from data.tables.frames import read_samples, write_table
from finetune.student import load_student, longest_first, naming
from m3agiqa.ahead import DECODERS, ahead
from m3agiqa.device import model_of
from m3agiqa.files import fingerprint, write_json
from m3agiqa.images import load_image
from m3agiqa.journal import Journal, records
from m3agiqa.mllm.conversation import conversation, questions_fingerprint
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.readings import Inputs
from m3agiqa.progress import say
from pipeline import paths
from pipeline.foretell import takes, tried
from pipeline.paths import DatasetPaths
from pipeline.processes import first_shows_progress, made_on, process, share
from pipeline.settings import Settings
from pipeline.stage import stage
from pipeline.unfinished import unfinished

JOURNAL = "journal.jsonl"
COLUMNS = ("description", "cut_off")


def main(settings: Settings) -> None:
    describe_all(settings, paths.of_dataset(settings.dataset, settings.aspect))


def describe_all(settings: Settings, of: DatasetPaths) -> None:
    """Write the descriptions of every image of a data set."""
    aspect, max_length = settings.aspect, settings.mllms[settings.mllm].max_length
    samples = read_samples(of.samples, aspect, ["path", "prompt", "sha256"])
    here = process(settings.runtime.device)
    student = load_student(settings)
    questions = questions_fingerprint(aspect, settings.described)
    made_from = [student.identity, questions, settings.max_new_tokens, max_length]
    cut = batches(student, samples, settings, of.raw)

    with unfinished("describe", made_from, wait=here.wait_for_everyone) as scratch:
        done = _answered(scratch.path)
        here.wait_for_everyone()  # all have read before any writes
        missing = share([batch for batch in cut if _key(batch) not in done])
        if here.is_main_process and missing:
            _foretell(student, missing, settings, of.raw)
        with Journal(scratch.path / (f"journal-{here.process_index}.jsonl" if here.process_index else JOURNAL)) as own:
            answered = answers(student, missing, settings, of.raw)
            for batch in first_shows_progress(missing, total=len(missing), desc="describe", unit="batches"):
                own.append({"key": _key(batch), **next(answered)})
        here.wait_for_everyone()
        if here.is_main_process:
            done = _answered(scratch.path)
            described = [
                pd.DataFrame(
                    {"image_id": batch["image_id"].to_numpy()} | {name: done[_key(batch)][name] for name in COLUMNS}
                )
                for batch in cut
            ]
            write_table(pd.concat(described), of.descriptions)
            write_json(of.descriptions_made_on, made_on(settings))
        here.wait_for_everyone()


def batches(student: LocalMLLM, samples: pd.DataFrame, settings: Settings, raw: Path) -> list[pd.DataFrame]:
    """Similar lengths together: little padding. The longest first: a GPU's graph is made for a cache that fits all."""
    ordered, size = longest_first(student, samples, settings.aspect, raw), settings.runtime.batch
    return [ordered.iloc[start : start + size] for start in range(0, len(ordered), size)]


def answers(
    student: LocalMLLM, batches: Sequence[pd.DataFrame], settings: Settings, raw: Path
) -> Iterator[dict[str, list[Any]]]:
    """The COLUMNS of each batch, in order, from the images below `raw`.

    While one batch is described, threads make the questions about the next.
    """
    aspect, described, most = settings.aspect, settings.described, settings.max_new_tokens

    def questions(batch: pd.DataFrame) -> list[Inputs]:
        files = [raw / path for path in batch["path"]]
        with naming(files):
            chats = [conversation(aspect, prompt, described=described) for prompt in batch["prompt"]]
            return student.questions([load_image(file) for file in files], chats, most)

    for inputs in ahead(questions, batches, DECODERS if student.device.type == "cuda" else 1):
        written = student.answers(inputs, most)
        yield {
            "description": [answer.text for answer in written],
            "cut_off": [not answer.ended for answer in written],
        }


def _foretell(student: LocalMLLM, batches: Sequence[pd.DataFrame], settings: Settings, raw: Path) -> None:
    """Say what this stage will take, and on a CPU what features will take, from what a few images took."""
    images, first, device = sum(map(len, batches)), batches[0], student.device.type  # the longest prompts

    def describe(number: int) -> list[str]:
        (answer,) = answers(student, [first.head(number)], settings, raw)
        return answer["description"]

    described = tried(describe, images, len(first), device)
    if described is None:
        return
    line = f"describe: {images:,} images on {model_of(settings.runtime.device)}, {takes(images, described.seconds)}"
    if device == "cpu":  # which is warm by now
        start = time.monotonic()
        few = first.head(described.images)
        rounds = zip(few["prompt"], described.found, strict=True)
        chats = [conversation(settings.aspect, *texts, described=settings.described) for texts in rounds]
        student.read([load_image(raw / path) for path in few["path"]], chats)
        line += f"; then features, {takes(images, (time.monotonic() - start) / len(few))}"
    say(line)


def _key(batch: pd.DataFrame) -> str:
    return fingerprint(batch[["image_id", "prompt", "sha256"]].to_numpy().tolist())


def _answered(folder: Path) -> dict[str, dict[str, Any]]:
    """What all processes of this run, and of runs before it, have answered."""
    return {record["key"]: record for path in sorted(folder.glob("journal*.jsonl")) for record in records(path)}


if __name__ == "__main__":
    stage(main, parallel=True)
