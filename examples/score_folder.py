"""Score the images of a folder and print the worst.

    PYTHONPATH=. python examples/score_folder.py FOLDER [--aspect quality] [--worst 10] [--bundle BUNDLE]

Without --bundle (what `m3agiqa bundle` packed, or hf://owner/name@commit) it is the judge that ships. The images have
no prompts here, so that correspondence is refused; `m3agiqa predict --table` takes prompts, and writes files.
(PYTHONPATH=. is for a clone, where m3agiqa is not installed.)
"""
# ruff: noqa: INP001 - a program and no package

import argparse
from pathlib import Path

from m3agiqa import Scorer
from m3agiqa.image_list import from_folder


def main() -> None:
    parser = argparse.ArgumentParser(description="Print the worst images of a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--aspect", default="quality")
    parser.add_argument("--worst", type=int, default=10)
    parser.add_argument("--bundle", help="default: the judge that ships")
    given = parser.parse_args()

    images = from_folder(given.folder).images
    scores = Scorer.load(given.bundle)([image.path for image in images], aspect=given.aspect)
    scored = [(score, image.name) for score, image in zip(scores, images, strict=True) if score.score is not None]
    for score, name in sorted(scored, key=lambda pair: pair[0].score)[: given.worst]:
        print(f"{score.score:.2f} ({score.interval.low:.2f} to {score.interval.high:.2f})  {name}: {score.description}")
        print(f"      better than {score.percentile:.0f} % of the training images")
    for score, image in zip(scores, images, strict=True):
        if score.score is None:  # damaged, or not to be asked for: it says why, and no score is made up
            print(f"no score  {image.name}: {score.status}")


if __name__ == "__main__":
    main()
