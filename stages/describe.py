"""describe: the distilled MLLM describes every image and rates it with one word.

The same text feeds the head in training and in use, so the student describes the train images too:
the teacher's words never reach the head. `description` is what fits the model together with the image;
`fewer_views` and `shortened` tell where something had to give way for that, `cut_off` where the MLLM had not
ended when it had written `max_new_tokens`. Each batch is journalled as soon as it is answered.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from PIL.Image import Image

from data.tables.frames import read_samples, write_table
from finetune.student import load_student, naming
from m3agiqa.ahead import DECODERS, ahead
from m3agiqa.files import fingerprint, write_json
from m3agiqa.images import load_image
from m3agiqa.journal import Journal, records
from m3agiqa.mllm.conversation import Conversation, conversation, questions_fingerprint
from m3agiqa.mllm.model import LocalMLLM
from m3agiqa.mllm.readings import Inputs
from pipeline import paths
from pipeline.paths import DatasetPaths
from pipeline.processes import first_shows_progress, made_on, process, share
from pipeline.settings import Settings
from pipeline.stage import stage
from pipeline.unfinished import unfinished

JOURNAL = "journal.jsonl"
COLUMNS = ("description", "word", "fewer_views", "shortened", "cut_off")


def main(settings: Settings) -> None:
    describe_all(settings, paths.of_dataset(settings.dataset, settings.aspect))


def describe_all(settings: Settings, of: DatasetPaths) -> None:
    """Write the descriptions of every image of a data set."""
    aspect, profile = settings.aspect, settings.mllms[settings.mllm]
    samples = read_samples(of.samples, aspect, ["path", "prompt", "sha256"])
    here = process(settings.runtime.device)
    student = load_student(settings)
    made_from = [student.identity, questions_fingerprint(aspect), profile.max_new_tokens, profile.max_length]
    # Similar lengths together: little padding. The longest first: a GPU's graph is made for a cache that fits the rest.
    samples = samples.sort_values("prompt", key=lambda prompts: -prompts.str.len(), kind="stable")
    size = settings.runtime.batch
    batches = [samples.iloc[start : start + size] for start in range(0, len(samples), size)]

    with unfinished("describe", made_from, wait=here.wait_for_everyone) as scratch:
        done = _answered(scratch.path)
        here.wait_for_everyone()  # all have read before any writes
        missing = share([batch for batch in batches if _key(batch) not in done])
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
                for batch in batches
            ]
            write_table(pd.concat(described), of.descriptions)
            write_json(of.descriptions_made_on, made_on(settings))
        here.wait_for_everyone()


class _Questions(NamedTuple):
    images: list[Image]
    inputs: list[Inputs]


class _Described(NamedTuple):
    images: list[Image]
    conversations: list[Conversation]
    cut_off: list[bool]


class _SecondPass(NamedTuple):
    inputs: list[Inputs]
    cut_off: list[bool]


def answers(
    student: LocalMLLM, batches: Sequence[pd.DataFrame], settings: Settings, raw: Path
) -> Iterator[dict[str, list[Any]]]:
    """The COLUMNS of each batch, in order, from the images below `raw`.

    While one batch is described, threads make the questions about the next and prepare the one before to be read.
    """
    aspect, most = settings.aspect, settings.mllms[settings.mllm].max_new_tokens

    def questions(batch: pd.DataFrame) -> _Questions:
        files = [raw / path for path in batch["path"]]
        images = [load_image(file) for file in files]
        chats = [conversation(aspect, prompt) for prompt in batch["prompt"]]
        with naming(files):
            return _Questions(images, student.questions(images, chats, most))

    def described() -> Iterator[_Described]:
        made = ahead(questions, batches, DECODERS if student.device.type == "cuda" else 1)
        for batch, (images, inputs) in zip(batches, made, strict=True):
            written = student.answers(inputs, most)
            rounds = zip(batch["prompt"], written, strict=True)
            chats = [conversation(aspect, prompt, answer.text) for prompt, answer in rounds]
            yield _Described(images, chats, [not answer.ended for answer in written])

    def second_pass(batch: _Described) -> _SecondPass:
        return _SecondPass(student.inputs(batch.images, batch.conversations), batch.cut_off)

    for inputs, cut_off in ahead(second_pass, described(), 1):
        readings = student.read_inputs(inputs)
        yield {
            "description": [reading.fitted.description for reading in readings],
            "word": [reading.word for reading in readings],
            "fewer_views": [reading.fitted.level > 0 for reading in readings],
            "shortened": [reading.fitted.shortened for reading in readings],
            "cut_off": cut_off,
        }


def _key(batch: pd.DataFrame) -> str:
    return fingerprint(batch[["image_id", "prompt", "sha256"]].to_numpy().tolist())


def _answered(folder: Path) -> dict[str, dict[str, Any]]:
    """What all processes of this run, and of runs before it, have answered."""
    return {record["key"]: record for path in sorted(folder.glob("journal*.jsonl")) for record in records(path)}


if __name__ == "__main__":
    stage(main, parallel=True)
