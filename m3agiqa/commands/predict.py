"""predict: score images with the judge that ships, with a bundle, or with what the stages of this clone trained.

Scores are journalled as they are made, by picture and prompt: a cut run goes on where it was and ends in the same
bytes, a list with one more image costs one more image, and a picture that stands in it twice is scored once.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from transformers import logging

from m3agiqa import gallery, score_files
from m3agiqa.aspects import ASPECTS
from m3agiqa.commands.images import add_images, images_of
from m3agiqa.commands.options import add_source, add_where, how_to_get, parts_of, require
from m3agiqa.errors import InputError
from m3agiqa.exits import SOME_FAILED
from m3agiqa.files import fingerprint, folder_sha256, one_at_a_time, sha256
from m3agiqa.given import brief
from m3agiqa.image_list import ListedImage
from m3agiqa.journal import Journal
from m3agiqa.kept_scores import KeptScores, ScoredImages
from m3agiqa.parts import Part
from m3agiqa.progress import progress
from m3agiqa.score import Score
from m3agiqa.scorer import Scorer, batches
from m3agiqa.scratch import Scratch
from m3agiqa.tables import pyarrow
from m3agiqa.versions import versions

LIBRARY = Path(__file__).parents[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_images(parser)
    parser.add_argument("--aspect", choices=ASPECTS, help="only this one; otherwise all that are trained")
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("predictions"), help="default: predictions")
    parser.add_argument("--wide", action="store_true", help="a row an image in the files, and not one an aspect")
    parser.add_argument("--parquet", action="store_true", help="write scores.parquet, too")
    add_source(parser)
    add_where(parser)
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="images a forward pass; default: 32")
    parser.add_argument(
        "--gallery",
        type=int,
        default=gallery.ON_THE_PAGE,
        metavar="N",
        help=f"images in gallery.html, the first of them; default: {gallery.ON_THE_PAGE}",
    )


def run(arguments: argparse.Namespace) -> None:
    logging.disable_progress_bar()  # of loading the model: ours is about images
    if arguments.batch < 1:
        raise InputError(f"--batch is {arguments.batch}, expected 1 or more")
    if arguments.gallery < 0:
        raise InputError(f"--gallery is {arguments.gallery}, expected 0 or more")
    if arguments.parquet:
        pyarrow("--parquet")
    images = images_of(arguments)
    parts = parts_of(arguments)
    aspects = _aspects(arguments, parts, images)
    busy = f"predict: another run writes into {arguments.out}; waiting for it to end"
    with one_at_a_time(arguments.out / ".cache" / "lock", busy), ExitStack() as kept:
        rows = _scored(arguments, images, {aspect: parts[aspect] for aspect in aspects}, kept)
        score_files.write(rows, arguments.out, wide=arguments.wide, parquet=arguments.parquet)
        gallery.write(rows, arguments.out, on_the_page=arguments.gallery)
        table, failed = gallery.table(rows), list(_failed(rows))
    # Once the files are there: a terminal that cannot show a name loses nothing.
    encoding = sys.stdout.encoding or "utf-8"
    print(table.encode(encoding, "backslashreplace").decode(encoding))
    tables = ["scores.csv", "scores.jsonl", *["scores.parquet"] * arguments.parquet]
    print(f"predict: {', '.join(tables)} and gallery.html are in {arguments.out}", file=sys.stderr)
    if failed:
        print(*failed, sep="\n", file=sys.stderr)
        print(f"predict: {len(failed)} of {len(rows) * len(aspects)} scores are missing", file=sys.stderr)
        sys.exit(SOME_FAILED)


def _scored(
    arguments: argparse.Namespace, images: Sequence[ListedImage], parts: Mapping[str, Part], kept: ExitStack
) -> ScoredImages:
    """A scorer for each aspect: one model in memory at a time. What was scored stays open until `kept` is closed."""
    names = [_named(image) for image in progress(images, total=len(images), desc="read", unit="images")]
    found = []
    for aspect, part in parts.items():
        how = {"device": arguments.device, "batch": arguments.batch, "unfamiliar": arguments.unfamiliar}
        scorer = Scorer({aspect: part}, **how)
        found.append(_scores(scorer, images, names, aspect, arguments.out, kept))
    return ScoredImages(images, found)


def _failed(rows: ScoredImages) -> Iterator[str]:
    """A line for each score that is missing, though it could be asked for."""
    for image, scores in rows:
        for score in scores:
            if _is_failed(score):
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


class _Names(NamedTuple):
    """What an image's score is kept under."""

    picture: str  # the same for a copy elsewhere
    file: str  # where it failed, for why has the file's name in it; and what cannot be read is no picture


def _scores(
    scorer: Scorer, images: Sequence[ListedImage], names: Sequence[_Names], aspect: str, out: Path, kept: ExitStack
) -> KeptScores:
    """The scores of `images`. Those that the same judge and code gave before are found again, whatever the list."""
    judge = [scorer.card(aspect).model_dump_json(), scorer.device, scorer.batch, scorer.unfamiliar]
    key = fingerprint([judge, folder_sha256(LIBRARY), versions()])
    scratch = kept.enter_context(Scratch(out / ".cache" / aspect / key[:16]))
    found = KeptScores(kept.enter_context(Journal(scratch.path / "journal.jsonl")), len(images))
    firsts: dict[str, int] = {}
    for row, name in enumerate(names):
        firsts.setdefault(name.picture, row)

    def score(rows: Sequence[int]) -> None:
        if missing := [row for row in rows if names[row].picture not in found and names[row].file not in found]:
            paths, prompts = [images[row].path for row in missing], [images[row].prompt for row in missing]
            scores = scorer.score_batch(paths, prompts, aspect=aspect)
            if changed := [images[row].path for row in missing if _named(images[row]) != names[row]]:
                raise InputError(f"{brief(str(changed[0]))}: changed while it was to be scored; run it again")
            told = zip(missing, scores, strict=True)
            found.add([names[row].file if _is_failed(each) else names[row].picture for row, each in told], scores)

    rows = list(firsts.values())
    work = batches([images[row].prompt for row in rows], scorer.batch)
    for places in progress(work, total=len(work), desc=aspect, unit="batches"):
        score([rows[place] for place in places])
    for start in range(0, len(images), scorer.batch):  # copies of what could not be scored
        score(range(start, min(start + scorer.batch, len(images))))
    for row, (picture, file) in enumerate(names):
        found.assign(row, picture if picture in found else file)
    return found


def _is_failed(score: Score) -> bool:
    return score.status.startswith("failed")


def _named(image: ListedImage) -> _Names:
    content = _sha256(image.path)
    file = fingerprint([content, image.prompt, str(image.path)])
    return _Names(file if content is None else fingerprint([content, image.prompt]), file)


def _sha256(path: Path) -> str | None:
    """None for what cannot be read: why is said where it is scored."""
    try:
        return sha256(path) if path.is_file() else None
    except OSError:
        return None
