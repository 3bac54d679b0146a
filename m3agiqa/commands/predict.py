"""predict: score images with the judge that ships, with a bundle, or with what the stages of this clone trained.

Scores are kept by picture and prompt (m3agiqa/scored_images.py): a cut run goes on where it was.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from transformers import logging

from m3agiqa import gallery, score_files
from m3agiqa.aspects import ASPECTS
from m3agiqa.commands.images import add_images, images_of
from m3agiqa.commands.options import (
    add_batch,
    add_engine,
    add_processes,
    add_source,
    add_where,
    engine_of,
    how,
    how_to_get,
    parts_of,
    require,
)
from m3agiqa.errors import InputError
from m3agiqa.exits import SOME_FAILED
from m3agiqa.files import one_at_a_time
from m3agiqa.given import brief
from m3agiqa.image_list import ListedImage
from m3agiqa.kept_scores import ScoredImages
from m3agiqa.parts import Part
from m3agiqa.scored_images import is_failed, scored
from m3agiqa.tables import pyarrow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_images(parser)
    parser.add_argument("--aspect", choices=ASPECTS, help="only this one; otherwise all that are trained")
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("predictions"), help="default: predictions")
    parser.add_argument("--wide", action="store_true", help="a row an image in the files, and not one an aspect")
    parser.add_argument("--parquet", action="store_true", help="write scores.parquet, too")
    add_source(parser)
    add_where(parser)
    add_batch(parser)
    add_processes(parser)
    add_engine(parser)
    parser.add_argument(
        "--gallery",
        type=int,
        default=gallery.ON_THE_PAGE,
        metavar="N",
        help=f"images in gallery.html, the first of them; default: {gallery.ON_THE_PAGE}",
    )


def run(arguments: argparse.Namespace) -> None:
    logging.disable_progress_bar()  # of loading the model: ours is about images
    settings = how(arguments)
    if arguments.gallery < 0:
        raise InputError(f"--gallery is {arguments.gallery}, expected 0 or more")
    if arguments.parquet:
        pyarrow("--parquet")
    engine = engine_of(arguments)
    images = images_of(arguments)
    parts = parts_of(arguments)
    aspects = _aspects(arguments, parts, images)
    busy = f"predict: another run writes into {arguments.out}; waiting for it to end"
    with one_at_a_time(arguments.out / ".cache" / "lock", busy), ExitStack() as kept:
        with engine as where:
            asked = {aspect: parts[aspect] for aspect in aspects}
            rows = scored(images, asked, arguments.out, kept=kept, **settings | where)
        score_files.write(rows, arguments.out, wide=arguments.wide, parquet=arguments.parquet)
        gallery.write(rows, arguments.out, on_the_page=arguments.gallery)
        table, failed = gallery.table(rows), list(_failed(rows))
    # Once the files are there: a terminal that cannot show a name loses nothing.
    gallery.say(table)
    tables = ["scores.csv", "scores.jsonl", *["scores.parquet"] * arguments.parquet]
    print(f"predict: {', '.join(tables)} and gallery.html are in {arguments.out}", file=sys.stderr)
    if failed:
        print(*failed, sep="\n", file=sys.stderr)
        print(f"predict: {len(failed)} of {len(rows) * len(aspects)} scores are missing", file=sys.stderr)
        sys.exit(SOME_FAILED)


def _failed(rows: ScoredImages) -> Iterator[str]:
    """A line for each score that is missing, though it could be asked for."""
    for image, scores in rows:
        for score in scores:
            if is_failed(score):
                yield gallery.printable(f"predict: {brief(image.name)}, {score.aspect}: {score.status}")


def _aspects(arguments: argparse.Namespace, parts: dict[str, Part], images: Sequence[ListedImage]) -> list[str]:
    """The aspect asked for, or all that are there; what a bundle of the user's own lacks, the user knows."""
    if not arguments.aspect:
        for aspect in ASPECTS:
            if aspect not in parts and not arguments.bundle:
                print(f"predict: {aspect} is left out: {how_to_get(arguments, aspect)}", file=sys.stderr)
        return list(parts)
    require(arguments, parts, arguments.aspect)
    if arguments.aspect == "correspondence" and (silent := [each.name for each in images if not each.prompt.strip()]):
        raise InputError(f"correspondence needs a prompt to correspond to, and {silent[0]} has none")
    return [arguments.aspect]
