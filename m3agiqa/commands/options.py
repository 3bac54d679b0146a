"""What several commands ask for alike: which trained aspects, and where to run them."""

import argparse

from m3agiqa.bundle import open_bundle
from m3agiqa.parts import Part
from m3agiqa.workspace import parts_here


def add_source(parser: argparse.ArgumentParser) -> None:
    """--bundle and --dataset."""
    parser.add_argument("--bundle", metavar="PATH", help="a bundle, or hf://owner/name@commit; else this clone's")
    parser.add_argument("--dataset", metavar="NAME", help="what this clone's were trained on, where it has several")


def add_where(parser: argparse.ArgumentParser) -> None:
    """--device."""
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="cpu, cuda, mps; default: the GPU if there is one (auto)"
    )


def parts_of(arguments: argparse.Namespace) -> dict[str, Part]:
    """The trained aspects that `add_source` asked for.

    Raises:
        InputError: none there, or not usable.
    """
    return open_bundle(arguments.bundle) if arguments.bundle else parts_here(arguments.dataset)
