"""distill: LoRA fine-tuning of the local MLLM on the teacher's two-round conversations about one aspect.

Round 1 is the teacher's explanation, of all aspects that `describe.aspects` names, round 2 the rating word that the
aspect's own MOS gives. Only train images teach; val images tell which epoch to keep. With `distill.enabled: false` no
adapter is written, and the later stages use the MLLM as it came.
"""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd
from accelerate.utils import gather_object

from data.tables.frames import column_names, joined, read_samples, read_table
from finetune.distill.examples import Collator, Examples
from finetune.distill.training import CURVE, Conversations, distill
from finetune.student import load_untaught
from m3agiqa.ahead import DECODERS, ahead
from m3agiqa.aspects import ASPECTS
from m3agiqa.device import model_of
from m3agiqa.errors import InputError
from m3agiqa.files import fingerprint, write_json, write_text
from m3agiqa.mllm import conversation
from m3agiqa.mllm.fitting import Fitter
from m3agiqa.progress import Progress, say
from pipeline import paths
from pipeline.foretell import LONG, takes, telling
from pipeline.processes import first_shows_progress, made_on, process, share
from pipeline.ranks import is_first
from pipeline.settings import Settings
from pipeline.stage import stage
from pipeline.unfinished import unfinished

T = TypeVar("T")


def main(settings: Settings) -> None:
    aspect, described, options = settings.aspect, settings.described, settings.distill
    samples = read_samples(paths.samples(settings.dataset), aspect, ["path", "prompt", "sha256"])
    samples = joined(samples, read_table(paths.splits(settings.dataset)), aspect)
    out, curve = paths.adapter(settings.dataset, aspect), paths.RESULTS / "training" / "distill.csv"
    here = process(settings.runtime.device)
    if here.is_main_process:
        shutil.rmtree(out, ignore_errors=True)
    if not options.enabled:
        if here.is_main_process:
            write_json(out / "distill.json", {"shortened": None, "made_on": None})
            write_text(curve, ",".join(CURVE) + "\n")
        return

    captioned = _explained(samples, described, paths.captions(settings.dataset))
    raw = paths.raw(settings.dataset)
    recipe = settings.mllms[settings.mllm].recipe
    crop = 1.0 if "correspondence" in (aspect, *described) else recipe.crop  # a part may lack what the prompt asks for
    train, val = (
        Examples(raw, aspect, captioned[captioned["split"] == part], crop, options.seed, described)
        for part in ("train", "val")
    )
    student = load_untaught(settings)
    readers = DECODERS if student.device.type == "cuda" else 0
    lora = settings.mllms[settings.mllm].lora
    learned_from = captioned[["image_id", "split", "sha256", "prompt", *described, f"mos_{aspect}"]]
    inputs = {
        "mllm": student.identity,
        "lora": lora.model_dump(),
        "max_length": settings.mllms[settings.mllm].max_length,
        "distill": options.model_dump(),
        "recipe": recipe.model_dump(),
        "questions": conversation.questions_fingerprint(aspect, described),
        "conversations": fingerprint(learned_from.to_numpy().tolist()),
    }
    learner = student.add_lora(lora, seed=options.seed)
    if settings.runtime.activation_checkpointing:
        student.compute_twice()
    else:
        student.compile()
    words = student.word_tokens, recipe.word_weight, recipe.word_spread
    collate = Collator(student.fitter, student.dtype, *words)
    data = Conversations(train, val, train.lengths(student.fitter), collate)
    shortened = {
        name: _shortened(part, student.fitter, readers or 1) for name, part in (("train", train), ("val", val))
    }
    with unfinished("distill", inputs, wait=here.wait_for_everyone) as scratch:
        history = distill(
            learner,
            data,
            options,
            recipe,
            checkpoints=scratch.path,
            out=out,
            micro_batch=settings.runtime.micro_batch,
            workers=readers,
            progress=_foretelling(settings),
        )
        if here.is_main_process:
            ran = made_on(settings) | {"batch": recipe.batch, "micro_batch": settings.runtime.micro_batch}
            write_json(out / "distill.json", {"shortened": shortened, "made_on": ran})
            write_text(curve, history.to_csv(index=False))


def _explained(samples: pd.DataFrame, described: Sequence[str], path: Path) -> pd.DataFrame:
    """The samples with the explanations at `path` of the aspects `described`; those with none of them are no examples.

    Raises:
        InputError: an aspect was explained of no image.
    """
    for aspect in described:
        if aspect not in (columns := column_names(path)):
            known = ", ".join(name for name in ASPECTS if name in columns)
            raise InputError(f"describe.aspects names {aspect}, and {path} has explanations of {known} alone")
    captioned = samples.merge(read_table(path, described), on="image_id", validate="1:1")
    there = captioned[list(described)].notna()
    if is_first() and (lacking := int((~there.all(axis=1)).sum())):
        say(f"distill: {lacking} of {len(there)} images lack an explanation of an aspect, and are not asked about it")
    return captioned[there.any(axis=1)]


def _foretelling(settings: Settings) -> Progress:
    """Shows the steps as `first_shows_progress` does, and says after the first of them what all will take."""
    where = model_of(settings.runtime.device)
    cold = 0 if where == "cpu" else 1  # a GPU compiles first

    def shown(iterable: Iterable[T], /, *, total: int, desc: str, unit: str) -> Iterable[T]:
        def foretell(seconds: float) -> None:
            line = f"distill: {total:,} steps on {where}, {takes(total, seconds)}, and the val images after each epoch"
            too_long = where == "cpu" and total * seconds > LONG
            say(f"{line}; on a GPU it is quicker, distill.enabled=false leaves it out" if too_long else line)

        steps = first_shows_progress(iterable, total=total, desc=desc, unit=unit)
        return telling(steps, cold, foretell) if is_first() and total > cold + 1 else steps

    return shown


def _shortened(examples: Examples, fitter: Fitter, readers: int) -> int:
    """How many explanations lose sentences. Looks at every image first, so that none stops the run on its way."""
    rows = share(range(len(examples)))
    looked_at = ahead(lambda row: examples.is_shortened(row, fitter), rows, readers)
    watched = first_shows_progress(looked_at, total=len(rows), desc="look at what is taught", unit="images")
    return sum(gather_object([sum(watched)]))


if __name__ == "__main__":
    stage(main, parallel=True)
