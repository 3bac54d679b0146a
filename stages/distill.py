"""distill: LoRA fine-tuning of the local MLLM on the teacher's two-round conversations about one aspect.

Round 1 is the teacher's explanation, round 2 the word that the aspect's own MOS gives. Only train
images teach; val images tell which epoch to keep. With `distill.enabled: false` no adapter is
written, and the later stages use the MLLM as it came.
"""

import shutil
from dataclasses import dataclass

import pandas as pd

from data.tables.frames import joined, read_table, require_aspect
from finetune.distill.training import Conversations, distill
from finetune.student import load_untaught
from m3agiqa.files import fingerprint, write_json, write_text
from m3agiqa.images import load_image
from m3agiqa.mllm import conversation
from m3agiqa.mllm.fitting import Example
from pipeline import paths
from pipeline.processes import first_shows_progress, process
from pipeline.settings import Settings
from pipeline.stage import stage
from pipeline.unfinished import unfinished

NO_CURVE = "step,epoch,train_loss,lr,val_loss\n"


@dataclass
class Examples:
    """The images of one part of the split and their conversations, read from disk when needed."""

    settings: Settings
    rows: pd.DataFrame

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row, aspect = self.rows.iloc[index], self.settings.aspect
        word = conversation.word_of(row[f"mos_{aspect}"])
        chat = conversation.conversation(aspect, row["prompt"], row[aspect], word)
        return Example(load_image(paths.raw(self.settings.dataset) / row["path"]), chat)


def main(settings: Settings) -> None:
    aspect, options = settings.aspect, settings.distill
    samples = joined(read_table(paths.samples(settings.dataset)), read_table(paths.splits(settings.dataset)), aspect)
    require_aspect(samples, aspect)
    out, curve = paths.adapter(settings.dataset, aspect), paths.RESULTS / "training" / "distill.csv"
    here = process(settings.runtime.device)
    if here.is_main_process:
        shutil.rmtree(out, ignore_errors=True)
    if not options.enabled:
        if here.is_main_process:
            write_json(out / "distill.json", {"enabled": False})
            write_text(curve, NO_CURVE)
        return

    captions = read_table(paths.captions(settings.dataset), [aspect])
    captioned = samples.merge(captions, on="image_id", validate="1:1")
    train, val = (Examples(settings, captioned[captioned["split"] == part]) for part in ("train", "val"))
    student = load_untaught(settings)
    lora = settings.mllms[settings.mllm].lora
    learned_from = captioned[["image_id", "split", "sha256", "prompt", aspect, f"mos_{aspect}"]]
    inputs = {
        "mllm": student.identity,
        "lora": lora.model_dump(),
        "max_length": settings.mllms[settings.mllm].max_length,
        "distill": options.model_dump(),
        "questions": conversation.questions_fingerprint(aspect),
        "conversations": fingerprint(learned_from.to_numpy().tolist()),
    }
    learner = student.add_lora(lora, seed=options.seed)
    student.compile(activation_checkpointing=settings.runtime.activation_checkpointing)
    data = Conversations(train, val, train.rows[aspect].str.len().tolist(), student.training_batch)
    with unfinished("distill", inputs, wait=here.wait_for_everyone) as scratch:
        history = distill(
            learner,
            data,
            options,
            checkpoints=scratch.path,
            out=out,
            activation_checkpointing=settings.runtime.activation_checkpointing,
            progress=first_shows_progress,
        )
        if here.is_main_process:
            write_text(curve, history.to_csv(index=False))


if __name__ == "__main__":
    stage(main, parallel=True)
