"""What a judge says of pictures that are none of its kind: `python -m benchmarks.outside_its_world [BUNDLE]`.

Without a BUNDLE it is the judge that ships. All pictures are drawn here: drawings, screenshots, charts, X-ray-like
grey, noise, one colour. No score of theirs is right; what is asked is whether a warning stands beside it. The table is
Markdown, for docs/scoring.md, one for each aspect.
"""

import sys
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from m3agiqa.gallery import printable
from m3agiqa.score import Score
from m3agiqa.scorer import Scorer
from m3agiqa.warnings.images import kinds

SIDE = 512  # pixels
TEXT = "The quick brown fox jumps over the lazy dog, and a judge of photographs reads on."


def _noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def _grain() -> Image.Image:
    grey = np.random.default_rng(1).normal(128, 25, (SIDE, SIDE, 1)).clip(0, 255)
    return Image.fromarray(np.repeat(grey, 3, axis=2).astype(np.uint8))


def _colour() -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), "#3070c0")


def _gradient() -> Image.Image:
    across = Image.linear_gradient("L").resize((SIDE, SIDE))
    return Image.merge("RGB", (across, across.rotate(90), Image.new("L", (SIDE, SIDE), 120)))


def _page() -> Image.Image:
    """A screenshot of text."""
    page, pen = _paper("white")
    for line in range(20):
        pen.text((24, 24 + 23 * line), TEXT[line % 7 :], fill="#222222")
    return page


def _window() -> Image.Image:
    """A screenshot of a program."""
    window, pen = _paper("#e8e8ec")
    pen.rectangle((0, 0, SIDE, 36), fill="#3a3a48")
    for row in range(9):
        pen.rectangle((20, 60 + 48 * row, 150, 90 + 48 * row), fill="#ffffff", outline="#9090a0")
        pen.text((30, 68 + 48 * row), f"Entry {row}", fill="#222222")
        pen.rectangle((170, 60 + 48 * row, 490, 90 + 48 * row), fill="#d0d8f0")
    return window


def _chart() -> Image.Image:
    chart, pen = _paper("white")
    pen.line((50, 30, 50, 460, 490, 460), fill="black", width=2)
    for bar, height in enumerate((120, 260, 190, 350, 80, 300)):
        pen.rectangle((70 + 68 * bar, 460 - height, 118 + 68 * bar, 459), fill="#4477aa")
    return chart


def _shapes() -> Image.Image:
    """Flat shapes with outlines, as in clip art."""
    drawing, pen = _paper("#f4e8d8")
    pen.ellipse((60, 60, 240, 240), fill="#d03030", outline="black", width=5)
    pen.rectangle((280, 160, 460, 400), fill="#3060c0", outline="black", width=5)
    pen.polygon([(100, 450), (200, 290), (300, 450)], fill="#309040", outline="black")
    return drawing


def _sketch() -> Image.Image:
    """A house and a sun in pencil lines."""
    sketch, pen = _paper("white")
    for shake in range(3):
        at = 2 * shake
        pen.line((120 + at, 260, 256, 140 + at, 392 - at, 260, 392, 440 - at, 120, 440, 120 + at, 260), fill="#303030")
        pen.ellipse((400 + at, 40, 470, 110 + at), outline="#303030")
        pen.rectangle((220, 330 + at, 290 - at, 440), outline="#303030")
    return sketch


def _x_ray() -> Image.Image:
    """Bright bones in grey flesh on black, all soft."""
    film, pen = _paper("black")
    pen.ellipse((90, 40, 420, 480), fill="#505050")
    for rib in range(7):
        pen.arc((120, 70 + 50 * rib, 390, 190 + 50 * rib), 200, 340, fill="#b0b0b0", width=12)
    pen.rectangle((244, 60, 268, 470), fill="#c8c8c8")
    return film.filter(ImageFilter.GaussianBlur(5))


def _map() -> Image.Image:
    drawn, pen = _paper("#eef0e4")
    pen.polygon([(0, 350), (150, 300), (300, 380), (512, 330), (512, 512), (0, 512)], fill="#a8c8e8")
    for street in range(0, SIDE, 64):
        pen.line((street, 0, street + 90, 340), fill="#ffffff", width=8)
        pen.line((0, street // 2, SIDE, street // 2 + 30), fill="#f0d890", width=5)
    return drawn


def _paper(colour: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (SIDE, SIDE), colour)
    return image, ImageDraw.Draw(image)


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "pure noise": _noise,
    "grey grain": _grain,
    "one colour": _colour,
    "colour gradient": _gradient,
    "screenshot of text": _page,
    "screenshot of a program": _window,
    "bar chart": _chart,
    "flat drawn shapes": _shapes,
    "pencil sketch": _sketch,
    "grey X-ray-like picture": _x_ray,
    "street map": _map,
}


def table(scorer: Scorer, aspect: str) -> list[str]:
    """The lines of the table on one aspect."""
    scores = scorer([draw() for draw in PICTURES.values()], aspect=aspect)
    low, high = scores[0].scale
    lines = [f"| {aspect}, {low:g} to {high:g} | score (90 % interval) | word | warnings |", "|---|---|---|---|"]
    return lines + [f"| {name} | {_said(score)} |" for name, score in zip(PICTURES, scores, strict=True)]


def _said(score: Score) -> str:
    if score.score is None or score.interval is None:
        return f"{printable(score.status)} | | "
    found = f"{score.score:.2f} ({score.interval.low:.2f} to {score.interval.high:.2f})"
    return f"{found} | {score.word or 'not told'} | {kinds(score.warnings) or 'none'}"


def main() -> None:
    scorer = Scorer.load(*sys.argv[1:2])
    for aspect in scorer.aspects:
        print("\n".join(table(scorer, aspect)), end="\n\n")


if __name__ == "__main__":
    main()
