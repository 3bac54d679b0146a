"""rank: put candidates of one prompt in the order in which people would, and say how sure of that one may be.

Two images alone are compared: with which probability do people prefer the first.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from transformers import logging

from m3agiqa import score_files
from m3agiqa.aspects import ASPECTS
from m3agiqa.candidates import spread_of
from m3agiqa.card import read_card
from m3agiqa.commands.images import add_images, images_of
from m3agiqa.commands.options import (
    add_batch,
    add_processes,
    add_source,
    add_where,
    how,
    parts_of,
    processes_of,
    require,
)
from m3agiqa.errors import InputError
from m3agiqa.exits import SOME_FAILED
from m3agiqa.files import one_at_a_time
from m3agiqa.gallery import printable, say
from m3agiqa.given import brief
from m3agiqa.ranked_images import RankedImages, check
from m3agiqa.ranking import SURE
from m3agiqa.scored_images import scored
from m3agiqa.tables import pyarrow

GROUPS_SHOWN = 10  # on the terminal, of each
CANDIDATES_SHOWN = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_images(parser)
    parser.add_argument(
        "--group-column", metavar="NAME", help="of the table, same for what is chosen from; default: the prompt"
    )
    parser.add_argument("--aspect", choices=ASPECTS, help="by which to rank; default: the first that is trained")
    parser.add_argument("--best", type=int, metavar="N", help="copy the N best of each group into DIR/best")
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("ranks"), help="default: ranks")
    parser.add_argument("--parquet", action="store_true", help="write ranks.parquet, too")
    add_source(parser)
    add_where(parser)
    add_batch(parser)
    add_processes(parser)


def run(arguments: argparse.Namespace) -> None:
    logging.disable_progress_bar()
    if arguments.best is not None and arguments.best < 1:
        raise InputError(f"--best is {arguments.best}, expected 1 or more")
    if arguments.group_column and not (arguments.table or arguments.tar):
        raise InputError("--group-column is a column of a --table or a --tar")
    if arguments.parquet:
        pyarrow("--parquet")
    settings, processes = how(arguments), processes_of(arguments)
    images, parts = images_of(arguments), parts_of(arguments)
    aspect = arguments.aspect or next(iter(parts))
    require(arguments, parts, aspect)
    best = arguments.out / "best"
    check(images, arguments.group_column, best)
    card = read_card(parts[aspect].card)
    spread = spread_of(card, fast=arguments.fast)
    busy = f"rank: another run writes into {arguments.out}; waiting for it to end"
    with one_at_a_time(arguments.out / ".cache" / "lock", busy), ExitStack() as kept:
        found = scored(
            images,
            {aspect: parts[aspect]},
            arguments.out,
            kept=kept,
            processes=processes,
            **settings,
        )
        ranked = RankedImages(found, spread, arguments.group_column)
        score_files.write(ranked, arguments.out, name="ranks", parquet=arguments.parquet)
        copied = ranked.copy_best(arguments.best or 0, best, arguments.out / ".cache" / "best.json")
        lines = list(_table(ranked, aspect))
        if not card.head_of(fast=arguments.fast).preference.within_prompts:
            lines.append("how sure: learnt from any two images, which are easier to tell apart than two of one prompt")
        missing = [f"{brief(image.name)}: {score.status}" for image, (score,) in ranked if score.score is None]
    say("\n".join(map(printable, lines)))
    shown = f", {copied} of the best in {best}" if arguments.best else ""
    print(f"rank: ranks.csv and ranks.jsonl are in {arguments.out}{shown}", file=sys.stderr)
    if missing:
        print(*(printable(f"rank: {line}") for line in missing), sep="\n", file=sys.stderr)
        sys.exit(SOME_FAILED)


def _table(ranked: RankedImages, aspect: str) -> Iterator[str]:
    """The first groups' first candidates, for a terminal of 100 columns."""
    for group in islice(ranked.groups, GROUPS_SHOWN):
        yield f'"{brief(group.name)}"' if group.name else "(none)"
        for image, (score,) in islice(ranked.of(group), CANDIDATES_SHOWN):
            if score.score is None:
                yield f"    –         {brief(image.name)}: {score.status}"
            else:
                shown = f"{image.columns['rank']:>5}  {image.columns['best']:5.0%}  {score.score:6.2f}"
                yield f"{shown}  {brief(image.name)}"
        if len(group.rows) > CANDIDATES_SHOWN:
            yield f"       … and {len(group.rows) - CANDIDATES_SHOWN} more"
    if len(ranked.groups) > GROUPS_SHOWN:
        yield f"… and {len(ranked.groups) - GROUPS_SHOWN} more groups"
    if len(ranked) == 2 and len(ranked.groups) == 1:
        yield from _compared(ranked)
    yield f"columns: rank; probability to be the best; {aspect}"
    yield f"one rank: cannot be told apart, people prefer neither of two with a probability of {SURE:.0%}"


def _compared(ranked: RankedImages) -> Iterator[str]:
    """Two images, told as a sentence."""
    (better, _), (other, _) = ranked
    if better.columns["best"] is not None and other.columns["best"] is not None:
        share = better.columns["best"]
        yield f"people prefer {brief(better.name)} to {brief(other.name)} with a probability of {share:.0%}"
