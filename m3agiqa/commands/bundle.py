"""bundle: pack the trained aspects of this clone into one folder, to score with anywhere.

Aspects that are in the folder already and not in this clone stay in it: train one aspect after the other, pack after
each, and the bundle has them all, as `make judge` does. So do its note and its licence, until others are given.
"""

import argparse
import sys
from pathlib import Path

from m3agiqa import model_card
from m3agiqa.bundle import README, alone_at, cards, open_bundle, pack
from m3agiqa.commands.options import add_where
from m3agiqa.device import device
from m3agiqa.errors import InputError
from m3agiqa.parts import load
from m3agiqa.workspace import parts_here


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("bundle"), help="default: bundle")
    parser.add_argument("--dataset", metavar="NAME", help="what they were trained on, where this clone has several")
    parser.add_argument("--note", metavar="TEXT", help="what its README begins with, such as how it may be used")
    parser.add_argument("--license", metavar="ID", help="its licence, as the hub names it, such as cc-by-nc-4.0")
    add_where(parser)


def run(arguments: argparse.Namespace) -> None:
    here, out = parts_here(arguments.dataset), arguments.out
    dataset = next(iter(cards(here).values())).dataset
    for aspect, part in here.items():
        # Parts that do not belong together are refused now, not where they are used.
        if not load(part, device(arguments.device)).card.figures:
            raise InputError(f"{aspect} was last evaluated on another data set's images; empty evaluate.on, dvc repro")
    with alone_at(out):
        kept = open_bundle(out) if out.exists() else {}
        for aspect, card in cards(kept).items():
            if card.dataset != dataset:
                raise InputError(f"{out}: its {aspect} was trained on {card.dataset}; give another --out")
        parts = {**kept, **here}
        before = model_card.terms((out / README).read_text(encoding="utf-8")) if kept else model_card.Terms()
        note = before.note if arguments.note is None else arguments.note
        licence = before.licence if arguments.license is None else arguments.license
        pack(parts, out, model_card.render(cards(parts), note or None, licence or None))
    print(f"bundle: {', '.join(parts)} in {out}; score with m3agiqa predict --bundle {out}", file=sys.stderr)
