"""Make the embedded model `small`: `python -m finetune.pretrain.small --out models/small …`.

DINOv2's eyes get a language: views of real pictures with effects of known kind and degree are rendered, talked about,
and taught; pictures of two other sources tell how well it went. It learns to say what is to be seen, never whether it
is any good. A run that is cut leaves its last checkpoint in the folder.
"""

import argparse
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import AutoModelForImageTextToText, PreTrainedTokenizerFast

from finetune.pretrain.chats import pieces, rows
from finetune.pretrain.checkpoint import save
from finetune.pretrain.curve import write_curve
from finetune.pretrain.small.backbone import read_backbone
from finetune.pretrain.small.card import card
from finetune.pretrain.small.check import answer, cases, marks, single_recipes
from finetune.pretrain.small.effects import EFFECTS
from finetune.pretrain.small.model import IMAGE_SIZE, IMAGE_STRING, SIDE, build_model, build_processor
from finetune.pretrain.small.sights import Sight, measure
from finetune.pretrain.small.talk import chat
from finetune.pretrain.small.train import EYES_RATE, MEASURED_ON, PROBE_WEIGHT, RATE, Trainee, learners
from finetune.pretrain.small.views import Picture, Recipe, draw, read_pictures, render
from finetune.pretrain.small.watch import Watched
from finetune.pretrain.tokenizer import BOS, build_tokenizer
from finetune.pretrain.training import Chats, Curve, compiled, train
from m3agiqa.files import write_json, write_text

HELD_OUT = ("kodak", "gpt4o")  # sources that are never taught
CHATS = 3  # a view
LENGTH = 448  # tokens a row: 196 of the image, and some eight rounds
BATCH_OF_VIEWS = 64
CORPUS = 4000  # views whose chats teach the tokenizer
CASES = 12  # held-out views of each degree of each effect
SHARE = 1000  # views a worker talks about at a time
SAMPLES = 24  # answers that are kept as they were given


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    parser.add_argument("--backbone", type=Path, required=True, help="the ONNX file that holds DINOv2")
    parser.add_argument("--pictures", type=Path, required=True, help="a folder with data.csv: path, kind, source")
    parser.add_argument("--watch", nargs="*", default=[], metavar="FOLDER:COLUMN", help="rated pictures, never taught")
    parser.add_argument("--views", type=int, default=50_000, help="views to render")
    parser.add_argument("--steps", type=int, default=5_000, help="optimiser steps")
    parser.add_argument("--batch", type=int, default=96, help="rows a step")
    parser.add_argument("--seconds", type=float, default=420.0, help="end the steps by then")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=CASES, help="held-out views of each degree of each effect")
    return parser.parse_args(argv)


def talked_about(
    kinds: Sequence[str], sights: Sequence[Sight], recipes: Sequence[Recipe], seed: tuple[int, ...], chats: int
) -> list[Any]:
    """`chats` conversations about each view; a worker's share."""
    rng = np.random.default_rng(seed)
    views = zip(kinds, sights, recipes, strict=True)
    return [[chat(kind, sight, recipe, rng) for _ in range(chats)] for kind, sight, recipe in views]


def rendered(
    pictures: Sequence[Picture], recipes: Sequence[Recipe], seed: int, device: str
) -> tuple[torch.Tensor, list[Sight]]:
    """All views (n, s, s, 3) uint8 on the device, and what is to be seen of each."""
    dice = torch.Generator(device=device).manual_seed(seed)
    images = torch.empty(len(recipes), IMAGE_SIZE, IMAGE_SIZE, 3, dtype=torch.uint8, device=device)
    sights: list[Sight] = []
    for start in range(0, len(recipes), BATCH_OF_VIEWS):
        views = render(pictures, recipes[start : start + BATCH_OF_VIEWS], dice)
        images[start : start + BATCH_OF_VIEWS] = views.images
        sights += measure(views.images, views.inside)
    return images, sights


def taught(pictures: Sequence[Picture], options: argparse.Namespace) -> tuple[Chats, PreTrainedTokenizerFast]:
    """Views of the pictures with chats about them, and the tokenizer that learned from those."""
    rng = np.random.default_rng(options.seed)
    chosen = [int(rng.integers(len(pictures))) for _ in range(options.views)]
    recipes = [draw(rng, at, pictures[at].pixels.shape[1:]) for at in chosen]
    images, sights = rendered(pictures, recipes, options.seed, options.device)
    kinds = [pictures[at].kind for at in chosen]
    shares = [slice(start, start + SHARE) for start in range(0, options.views, SHARE)]
    with ProcessPoolExecutor(min(15, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(talked_about, kinds[part], sights[part], recipes[part], (options.seed, part.start), CHATS)
            for part in shares
        ]
        said = [turns for each in waiting for several in each.result() for turns in several]
    texts = ["".join(pieces(turns, "")).replace(BOS, "") for turns in said[: CORPUS * CHATS : CHATS]]
    tokenizer = build_tokenizer(texts)
    tokens, answers = rows(said, tokenizer.backend_tokenizer, IMAGE_STRING, LENGTH)
    shape = (options.views, CHATS, LENGTH)
    on_device = (torch.from_numpy(each).reshape(shape).to(options.device) for each in (tokens, answers))
    return Chats(images, *on_device), tokenizer


def checked(
    folder: Path, tokenizer: PreTrainedTokenizerFast, pictures: Sequence[Picture], options: argparse.Namespace
) -> dict[str, Any]:
    """What the weights, as they are shipped, say of pictures of other sources: marks and samples."""
    exact = torch.bfloat16 if options.device == "cuda" else torch.float32
    shipped = AutoModelForImageTextToText.from_pretrained(folder, dtype=exact).to(options.device).eval()
    dice = np.random.default_rng((options.seed, 1 << 20))
    tests = single_recipes(dice, pictures, options.cases)
    shown, seen = rendered(pictures, tests, options.seed + 1, options.device)
    kinds = [pictures[recipe.picture].kind for recipe in tests]
    asked = cases(kinds, seen, tests, dice)
    given = answer(shipped, tokenizer, shown, asked)
    samples = list(zip(asked, given, strict=True))[:: max(1, len(asked) // SAMPLES)]
    return {
        "cases": len(tests),
        "held_out": marks(asked, given, tests, kinds),
        "samples": [{"asked": case.question, "right": case.right, "said": text} for case, text in samples],
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Render, talk, train, check, write."""
    options = arguments(argv)
    began, device = time.monotonic(), options.device
    torch.manual_seed(options.seed)
    torch.set_float32_matmul_precision("high")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    every = [picture._replace(pixels=picture.pixels.to(device)) for picture in read_pictures(options.pictures)]
    pictures = [picture for picture in every if picture.source not in HELD_OUT]
    others = [picture for picture in every if picture.source in HELD_OUT]
    chats, tokenizer = taught(pictures, options)
    drawn = time.monotonic() - began
    print(f"{options.views} views after {drawn:.0f} s", flush=True)

    model = build_model(read_backbone(options.backbone, SIDE)).to(device)
    trainee = Trainee(model).to(device).train()
    forward = compiled(trainee, options.batch, IMAGE_SIZE, LENGTH)
    trainee.measure(chats.images[:MEASURED_ON])

    def checkpoint(curve: Curve) -> None:
        save(model, build_processor(tokenizer), options.out)
        write_curve(options.out, curve)

    curve = train(learners(trainee), forward, chats, probe_weight=PROBE_WEIGHT, steps=options.steps,
                  batch=options.batch, seed=options.seed, seconds=options.seconds, checkpoint=checkpoint)  # fmt: skip
    checkpoint(curve)
    watched = {}
    for place in options.watch:
        folder, _, column = place.partition(":")
        worth = Watched(Path(folder), column, device).worth(trainee, chats.tokens[:1, 0].long())
        watched[f"{Path(folder).name}, {column}"] = worth._asdict()
    found = checked(options.out, tokenizer, others, options)
    steps = curve[-1]["step"]
    metrics = {
        "watched": watched,
        **found,
        "run": {
            "seed": options.seed, "views": options.views, "chats_per_view": CHATS,
            "taught": len(pictures), "held_out_pictures": len(others), "pictures": options.pictures.name,
            "sources": ", ".join(sorted({picture.source for picture in pictures})),
            "steps": steps, "batch": options.batch, "epochs": steps * options.batch / options.views,
            "rate": RATE, "eyes_rate": EYES_RATE, "parameters": sum(p.numel() for p in model.parameters()),
            "loss": curve[-1]["loss"], "probe": curve[-1]["probe"],
            "seconds_drawing": drawn, "seconds_training": curve[-1]["seconds"], "seconds": time.monotonic() - began,
            "hardware": torch.cuda.get_device_name() if device == "cuda" else "CPU",
            "torch": torch.__version__, "transformers": transformers.__version__,
        },
    }  # fmt: skip
    write_json(options.out / "metrics.json", metrics)
    write_text(options.out / "README.md", card(metrics, list(EFFECTS)))
    print(*(f"{group}: {part}" for group, part in found["held_out"].items()), sep="\n", flush=True)


if __name__ == "__main__":
    main()
