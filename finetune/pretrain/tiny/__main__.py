"""Make the embedded model `tiny` from nothing: `python -m finetune.pretrain.tiny --out models/tiny`.

Worker processes draw and render scenes while the model is compiled; then it trains on rows of one length and is
asked about combinations of things that it has never seen. It learns to say what a picture shows, never whether it
is any good: no rating, no judgement and no photograph is in what it sees. A run that is cut leaves its last
checkpoint in the folder.
"""

import argparse
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForImageTextToText

from data.synthetic.render import render
from finetune.pretrain.checkpoint import save
from finetune.pretrain.curve import write_curve
from finetune.pretrain.tiny.card import card
from finetune.pretrain.tiny.check import assess, held_out
from finetune.pretrain.tiny.data import LENGTH, Studio, corpus
from finetune.pretrain.tiny.model import (
    IMAGE_SIZE,
    build_model,
    build_processor,
    refresh_unseen,
)
from finetune.pretrain.tiny.train import PROBE_WEIGHT, Trainee, learning_rate
from finetune.pretrain.tokenizer import build_tokenizer
from finetune.pretrain.training import Chats, Learner, compiled, train
from m3agiqa.files import write_json, write_text

CHATS = 5  # conversations an image
CORPUS = 4000  # chats from which the tokenizer learns its merges
CASES = 1024  # held-out pictures
DRAWING_SHARE, CHECKING_SHARE = 0.36, 0.08  # of the time there is
QUALITY_WORDS = """
quality authenticity authentic correspondence rating rated bad poor fair good excellent sharp noisy blurry blurred
artefact artifact defect flaw realistic unrealistic beautiful ugly
""".split()  # noqa: SIM905 (a list of words reads best as one)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    parser.add_argument("--images", type=int, default=240_000, help="pictures to render")
    parser.add_argument("--steps", type=int, default=10_000, help="optimiser steps")
    parser.add_argument("--batch", type=int, default=256, help="rows a step")
    parser.add_argument("--seconds", type=float, default=500.0, help="end by then, with fewer pictures and steps")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=CASES, help="held-out pictures to ask about")
    return parser.parse_args(argv)


def gather(studio: Studio, device: str, until: float) -> Chats:
    """Collect the rendered chunks on the device until all are there or the clock says stop."""
    images = torch.empty(studio.count, IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8, device=device)
    tokens, answers, have = [], [], 0
    for pictures, ids, said in studio:
        images[have : have + len(pictures)] = torch.from_numpy(pictures).to(device)
        tokens.append(torch.from_numpy(ids))
        answers.append(torch.from_numpy(said))
        have += len(pictures)
        if time.monotonic() > until:
            break
    studio.close()
    return Chats(images[:have], torch.cat(tokens).to(device), torch.cat(answers).to(device))


def quality_words(texts: Sequence[str]) -> dict[str, int]:
    """How often words of judgement are said of a picture in pretraining: never, which is what the metrics then say."""
    words = re.findall(r"[a-z]+", " ".join(texts).lower())
    return {word: words.count(word) for word in QUALITY_WORDS if word in words}


def main(argv: Sequence[str] | None = None) -> None:
    """Draw, train, check, write."""
    options = arguments(argv)
    began = time.monotonic()
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    texts = list(corpus(CORPUS, options.seed))
    tokenizer = build_tokenizer(texts)
    processor = build_processor(tokenizer)
    workers = min(15, os.cpu_count() or 1)
    said = tokenizer.backend_tokenizer.to_str()
    studio = Studio(options.images, options.seed, chats=CHATS, tokenizer=said, device=options.device, workers=workers)
    model = build_model().to(options.device)
    trainee = Trainee(model).to(options.device).train()
    forward = compiled(trainee, options.batch, IMAGE_SIZE, LENGTH)
    ready = time.monotonic() - began
    chats = gather(studio, options.device, began + DRAWING_SHARE * options.seconds)
    drawn = time.monotonic() - began
    print(f"compiled after {ready:.0f} s; {len(chats.images)} images after {drawn:.0f} s", flush=True)

    def checkpoint(curve: list[dict[str, Any]]) -> None:
        save(model, processor, options.out)
        write_curve(options.out, curve)

    left = options.seconds * (1 - CHECKING_SHARE) - drawn
    learners = [Learner(list(trainee.parameters()), learning_rate)]
    curve = train(learners, forward, chats, probe_weight=PROBE_WEIGHT, steps=options.steps, batch=options.batch,
                  seed=options.seed, seconds=left, checkpoint=checkpoint)  # fmt: skip
    seen = torch.bincount(chats.tokens.flatten().int(), minlength=model.config.text_config.vocab_size) > 0
    refresh_unseen(model, seen, options.seed)
    checkpoint(curve)
    # The figures are those of the weights as they are shipped.
    exact = torch.bfloat16 if options.device == "cuda" else torch.float32
    shipped = AutoModelForImageTextToText.from_pretrained(options.out, dtype=exact).to(options.device).eval()
    cases = held_out(options.cases, options.seed)
    pictures = render([layout for layout, _ in cases], IMAGE_SIZE, options.device)
    marks, samples = assess(shipped, tokenizer, pictures, cases)
    steps = curve[-1]["step"]
    metrics = {
        "held_out": marks,
        "quality_words_said_of_pictures": quality_words(texts),
        "run": {
            "seed": options.seed, "images": len(chats.images), "chats_per_image": CHATS, "cases": options.cases,
            "steps": steps, "batch": options.batch, "epochs": steps * options.batch / len(chats.images),
            "parameters": sum(p.numel() for p in model.parameters()),
            "loss": curve[-1]["loss"], "probe": curve[-1]["probe"],
            "seconds_drawing": drawn, "seconds_training": curve[-1]["seconds"], "seconds": time.monotonic() - began,
            "hardware": torch.cuda.get_device_name() if options.device == "cuda" else "CPU",
            "torch": torch.__version__, "transformers": transformers.__version__,
        },
        "samples": samples,
    }  # fmt: skip
    write_json(options.out / "metrics.json", metrics)
    write_text(options.out / "README.md", card(metrics))
    print(*(f"{group}: {part}" for group, part in marks.items()), sep="\n", flush=True)


if __name__ == "__main__":
    main()
