"""The command line: `m3agiqa COMMAND …`, or `python -m m3agiqa COMMAND …` in a clone without an installation.

A command is a module with `add_arguments(parser)` and `run(arguments)`, imported when it is asked for. `compare` is
the pipeline's: it compares the experiments of a clone of the project, and is there where those are.
"""

import argparse
import gc
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import NamedTuple

from m3agiqa.errors import InputError
from m3agiqa.exits import told_in_one_line


class Command(NamedTuple):
    """What a command does, and the module that does it."""

    module: str
    help: str


COMMANDS = {
    "predict": Command("m3agiqa.commands.predict", "score images of your own"),
    "rank": Command("m3agiqa.commands.rank", "put candidates of one prompt in order, or compare two images"),
    "demo": Command("m3agiqa.commands.demo", "score images on a local page"),
    "serve": Command("m3agiqa.commands.serve", "score images that come over HTTP"),
    "bundle": Command("m3agiqa.commands.bundle", "pack the trained aspects of a clone into one folder"),
    "push": Command("m3agiqa.commands.push", "share a bundle on the Hugging Face hub"),
    "label-studio": Command("m3agiqa.plugs.label_studio", "make tasks of Label Studio from predict's scores"),
    "compare": Command("evaluation.compare", "compare the experiments of a clone, with the published figures"),
}


def main() -> None:
    """Run the command that the command line names."""
    listing = "\n".join(f"  {name:<14}{command.help}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="m3agiqa",
        description="Score AI-generated images as people would.",
        epilog=f"commands:\n{listing}\n\n`m3agiqa COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    if not sys.argv[1:]:
        parser.print_help()
        return
    name = parser.parse_args(sys.argv[1:2]).command
    with told_in_one_line(name):
        module = _module(name)
        told = COMMANDS[name].help
        options = argparse.ArgumentParser(prog=f"m3agiqa {name}", description=f"{told[0].upper()}{told[1:]}.")
        module.add_arguments(options)
        module.run(options.parse_args(sys.argv[2:]))


def _module(name: str) -> ModuleType:
    module = COMMANDS[name].module
    if find_spec(module.partition(".")[0]) is None:
        raise InputError(f"works in a clone of the project: python -m m3agiqa {name}")
    gc.disable()  # it would look through all that is imported again and again, in a fifth of the time
    try:
        return import_module(module)
    finally:
        gc.freeze()  # and once more at the end
        gc.enable()


if __name__ == "__main__":
    main()
