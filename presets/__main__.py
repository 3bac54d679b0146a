"""Run an experiment that has a name: `python -m presets paper-agiqa-3k quality`.

It says what the experiment needs, which figures of the paper to expect, and all that it sets, and then runs
`dvc exp run` with that. Without a name it lists the presets.
"""

import argparse
import subprocess
import sys

from m3agiqa.aspects import ASPECTS
from m3agiqa.exits import told_in_one_line
from presets.preset import Params, Preset, check, names, overrides, published


def main(arguments: argparse.Namespace) -> int:
    """Returns the status of `dvc exp run`."""
    if arguments.name is None:
        for name in names():
            preset = Preset.named(name)
            print(f"{name:24} {', '.join(preset.aspects)}\n    {preset.about}")
        return 0
    preset = Preset.named(arguments.name)
    params = preset.of(arguments.aspect)
    check(params)
    print(_told(arguments.name, preset, params), flush=True)
    if arguments.dry_run:
        return 0
    settings = [*overrides(params), *arguments.set]
    command = [sys.executable, "-m", "dvc", "exp", "run", *(part for each in settings for part in ("-S", each))]
    return subprocess.run(command, check=False).returncode


def _told(name: str, preset: Preset, params: Params) -> str:
    lines = [f"{name}, {params['aspect']}: {preset.about}", "", "It needs", *(f"- {need}" for need in preset.needs)]
    if found := published(str(params["dataset"]), str(params["aspect"])):
        lines += ["", f"The paper has SRCC {found.srcc:.4f} and PLCC {found.plcc:.4f} ({found.source})"]
    return "\n".join([*lines, "", "It sets", *(f"- {each}" for each in overrides(params)), ""])


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m presets", description="Run an experiment that has a name.")
    parser.add_argument("name", nargs="?", help="of a file in presets/; without one: what there is")
    parser.add_argument("aspect", nargs="?", choices=ASPECTS, default=ASPECTS[0], help=f"default: {ASPECTS[0]}")
    parser.add_argument("--dry-run", action="store_true", help="say what it needs and sets, and run nothing")
    parser.add_argument(
        "-S", "--set", action="append", default=[], metavar="KEY=VALUE", help="another param, as dvc exp run takes it"
    )
    return parser.parse_args()


if __name__ == "__main__":
    with told_in_one_line("presets"):
        sys.exit(main(_parsed()))
