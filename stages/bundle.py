"""bundle: pack the trained aspects of this workspace into one folder, to score with anywhere.

Aspects that are in the folder already and not in this workspace stay in it: train one aspect after the other, pack
after each, and the bundle has them all.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

from data.errors import InputError
from scoring import model_card
from scoring.bundle import cards, open_bundle, pack
from scoring.parts import load
from stages.device import device
from stages.run import stage
from stages.settings import Settings
from stages.trained import workspace_parts


def main(settings: Settings, out: Path) -> None:
    here = workspace_parts(settings.dataset)
    if not here:
        raise InputError("nothing is trained here yet: run dvc repro")
    for aspect, part in here.items():
        # Parts that do not belong together are refused now, not where they are used.
        if not load(part, device(settings)).card.figures:
            raise InputError(f"{aspect} was last evaluated on another data set's images; empty evaluate.on, dvc repro")
    kept = open_bundle(out) if out.exists() else {}
    for aspect, card in cards(kept).items():
        if card.dataset != settings.dataset:
            raise InputError(f"{out}: its {aspect} was trained on {card.dataset}; give another --out")
    parts = {**kept, **here}
    pack(parts, out, model_card.render(cards(parts)))
    print(f"bundle: {', '.join(parts)} in {out}; score with python -m stages.predict --bundle {out}", file=sys.stderr)


def _out() -> Path:
    parser = argparse.ArgumentParser(prog="python -m stages.bundle", description="Pack the trained aspects.")
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("bundle"), help="default: bundle")
    return parser.parse_args().out


if __name__ == "__main__":
    stage(partial(main, out=_out()))
