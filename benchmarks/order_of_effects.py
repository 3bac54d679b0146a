"""Does a judge order what is made worse on purpose? `python -m benchmarks.order_of_effects PICTURE …`.

Each picture's middle square is scored as it is, and with each effect of finetune/pretrain/small/effects.py in a clear
and in a strong degree. What share of the pictures is scored in that order, and how far it goes down, is the table.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from finetune.pretrain.small.effects import EFFECTS, apply
from m3agiqa import Scorer
from m3agiqa.images import load_image

CLEAR, STRONG = 0.5, 1.0
SIDE = 512  # px, what a picture's middle square is brought to; a multiple of 16


def degrees(scorer: Scorer, squares: Sequence[Tensor], effects: Sequence[str], aspect: str = "quality") -> np.ndarray:
    """Squares (3, s, s) in 0…1 -> (pictures, effects, 3): the score as they are, clearly and strongly affected."""
    dice = torch.Generator().manual_seed(0)
    pictures = []
    for square in squares:
        pictures.append(square)
        for name in effects:
            strengths = {each: torch.tensor([CLEAR, STRONG] if each == name else [0.0, 0.0]) for each in EFFECTS}
            pictures += apply(square.expand(2, -1, -1, -1), strengths, dice)
    images = [Image.fromarray((each * 255).round().byte().permute(1, 2, 0).numpy()) for each in pictures]
    scores = np.array([score.score for score in scorer(images, aspect=aspect)]).reshape(len(squares), -1)
    affected = scores[:, 1:].reshape(len(squares), len(effects), 2)
    clean = np.broadcast_to(scores[:, :1, None], (*affected.shape[:2], 1))
    return np.concatenate([clean, affected], axis=2)


def square(image: Image.Image, side: int = SIDE) -> Tensor:
    """An image's middle, (3, side, side) in 0…1."""
    width = min(image.size)
    left, top = (image.width - width) // 2, (image.height - width) // 2
    middle = image.crop((left, top, left + width, top + width)).resize((side, side))
    return torch.from_numpy(np.array(middle)).permute(2, 0, 1).float() / 255


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    parser.add_argument("--bundle", help="in place of the judge that ships")
    options = parser.parse_args(argv)
    squares = [square(load_image(path)) for path in options.pictures]
    scores = degrees(Scorer.load(options.bundle, batch=8), squares, list(EFFECTS))
    print("| effect | as it is above clear | clear above strong | strong is lower by |", "|---|---|---|---|", sep="\n")
    for name, (clean, clear, strong) in zip(EFFECTS, scores.transpose(1, 2, 0), strict=True):
        shares = f"{(clean > clear).mean():.2f} | {(clear > strong).mean():.2f}"
        print(f"| {name} | {shares} | {(clean - strong).mean():.0f} |")


if __name__ == "__main__":
    main()
