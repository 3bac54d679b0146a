"""demo: trained aspects as a page on this machine. It needs the extra `demo`; `make demo` installs it."""

import argparse
import sys

from transformers import logging

from m3agiqa.commands.options import add_source, add_where, parts_of
from m3agiqa.errors import InputError
from m3agiqa.scorer import Scorer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser)
    add_where(parser)
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")


def run(arguments: argparse.Namespace) -> None:
    try:
        from m3agiqa import page  # noqa: PLC0415 (an optional extra)
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed here: make demo, or pip install 'm3agiqa[demo]'") from None
    logging.disable_progress_bar()  # of loading the models
    scorer = Scorer(parts_of(arguments), device=arguments.device, unfamiliar=arguments.unfamiliar, fast=arguments.fast)
    for aspect in scorer.aspects:
        scorer.loaded(aspect)  # a part that does not fit is said now, not to whoever scores first
    print(f"demo: scores {', '.join(scorer.aspects)}", file=sys.stderr)
    page.serve(scorer, arguments.port)
