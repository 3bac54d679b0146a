"""demo: the trained pipeline as a page on this machine. `make demo` installs what it needs and starts it."""

import argparse
import sys
from functools import partial

from transformers import logging

from data.errors import InputError
from scoring.bundle import open_bundle
from scoring.scorer import Scorer
from stages.device import device
from stages.run import stage
from stages.settings import Settings
from stages.trained import workspace_parts


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    try:
        from scoring import page  # noqa: PLC0415 (an optional extra)
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed here: run make demo") from None
    logging.disable_progress_bar()  # of loading the models
    parts = open_bundle(arguments.bundle) if arguments.bundle else workspace_parts(settings.dataset)
    if not parts:
        raise InputError("nothing is trained here yet: run dvc repro, or name a --bundle")
    scorer = Scorer(parts, device=device(settings))
    for aspect in scorer.aspects:
        scorer.loaded(aspect)  # a part that does not fit is said now, not to whoever scores first
    print(f"demo: scores {', '.join(scorer.aspects)}", file=sys.stderr)
    page.serve(scorer, arguments.port)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stages.demo", description="Score images on a local page.")
    parser.add_argument("--bundle", metavar="PATH", help="a bundle, or hf://owner/name@revision; else this workspace")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    return parser.parse_args()


if __name__ == "__main__":
    stage(partial(main, arguments=_arguments()))
