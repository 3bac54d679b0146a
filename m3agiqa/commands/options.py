"""What several commands ask for alike: which trained aspects, and where to run them."""

import argparse
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from m3agiqa import shipped, workspace
from m3agiqa.bundle import open_bundle
from m3agiqa.errors import InputError
from m3agiqa.parts import Part
from m3agiqa.workers import devices


def add_source(parser: argparse.ArgumentParser) -> None:
    """--bundle or --dataset, and what a judge of rendered scenes may be asked."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--bundle", metavar="PATH", help="a bundle, or hf://owner/name@commit; default: the judge that ships"
    )
    source.add_argument("--dataset", metavar="NAME", help="the aspects that this clone has trained on it")
    parser.add_argument(
        "--fast", action="store_true", help="write no description: scores of another head, in a part of the time"
    )
    parser.add_argument(
        "--unfamiliar", action="store_true", help="let a judge that knows only rendered scenes score other images, too"
    )


def add_where(parser: argparse.ArgumentParser) -> None:
    """--device."""
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="cpu, cuda, mps; default: the GPU if there is one (auto)"
    )


def add_batch(parser: argparse.ArgumentParser) -> None:
    """--batch."""
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="images a forward pass; default: 32")


def add_processes(parser: argparse.ArgumentParser) -> None:
    """--processes."""
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="processes that score, on a GPU each, or on a CPU with their share of the cores; default: 1",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """--engine."""
    parser.add_argument(
        "--engine",
        choices=["ray"],
        help="score on the Ray cluster at RAY_ADDRESS, or on one of this machine alone; "
        "--processes by default: one a GPU, or a machine",
    )


def how(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of a scorer that the options ask for.

    Raises:
        InputError: no batch of that size.
    """
    if arguments.batch < 1:
        raise InputError(f"--batch is {arguments.batch}, expected 1 or more")
    return {name: getattr(arguments, name) for name in ("device", "batch", "unfamiliar", "fast")}


def processes_of(arguments: argparse.Namespace) -> int:
    """How many processes are to score.

    Raises:
        InputError: no such number, or fewer GPUs.
    """
    return len(devices(arguments.device, 1 if arguments.processes is None else arguments.processes))


def engine_of(arguments: argparse.Namespace) -> AbstractContextManager[dict[str, Any]]:
    """Where `scored` is to score and by whom, while the context lasts: this machine, or a cluster.

    Raises:
        InputError: no such number of processes, or no Ray here; in the context, no such cluster.
    """
    if not arguments.engine:
        return nullcontext({"device": arguments.device, "processes": processes_of(arguments)})
    try:
        from m3agiqa import cluster  # noqa: PLC0415 (an optional extra)
    except ModuleNotFoundError as error:
        raise InputError(f"--engine ray: {error.name} is not installed here: pip install 'm3agiqa[ray]'") from None
    return cluster.joined(arguments.device, arguments.processes)


def parts_of(arguments: argparse.Namespace) -> dict[str, Part]:
    """The trained aspects that `add_source` asked for.

    Raises:
        InputError: none there, or not usable.
    """
    return workspace.parts_here(arguments.dataset) if arguments.dataset else open_bundle(_bundle(arguments))


def require(arguments: argparse.Namespace, parts: dict[str, Part], aspect: str) -> None:
    """Refuse an aspect that is not there, saying how to get it."""
    if aspect not in parts:
        where = arguments.bundle or ("this clone" if arguments.dataset else "the judge that ships with m3agiqa")
        raise InputError(f"no {aspect} in {where} (only {', '.join(parts)}): {how_to_get(arguments, aspect)}")


def how_to_get(arguments: argparse.Namespace, aspect: str) -> str:
    """What a user does about an aspect that is missing where `add_source` looks."""
    if arguments.dataset:
        return workspace.how_to_get(aspect)
    return "take another bundle" if arguments.bundle else shipped.HOW_TO_GET[aspect]


def _bundle(arguments: argparse.Namespace) -> Path | str:
    return arguments.bundle or shipped.judge()
