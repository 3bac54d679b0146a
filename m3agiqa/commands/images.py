"""Which images a command is about: files that are named, the rows of tables, the samples of tars, a folder."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from m3agiqa.errors import InputError
from m3agiqa.gallery import printable
from m3agiqa.given import brief
from m3agiqa.hub_files import hub_files, on_hub
from m3agiqa.image_list import ListedImage, from_folder, from_table
from m3agiqa.tables import READERS
from m3agiqa.tar_members import SUFFIXES as TARS
from m3agiqa.tars import from_tars
from m3agiqa.unpacked import Unpacked

LEFT_OUT_SHOWN = 5  # files by name


def add_images(parser: argparse.ArgumentParser) -> None:
    """IMAGE …, --table, --tar or --folder, and what goes with them."""
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("images", nargs="*", default=[], type=Path, metavar="IMAGE", help="image files")
    images.add_argument(
        "--table",
        nargs="+",
        metavar="FILE",
        help="CSV, JSON lines, Parquet, Arrow, or a folder that `datasets` has saved: a row an image; "
        "or hf://datasets/owner/name@commit/data/test-*.parquet",
    )
    images.add_argument(
        "--tar", nargs="+", metavar="FILE", help="webdataset's shards: 0001.jpg with 0001.txt or 0001.json"
    )
    images.add_argument("--folder", type=Path, metavar="DIR", help="all images of a folder and the folders in it")
    parser.add_argument("--prompt", metavar="TEXT", help="what the images were generated from")
    parser.add_argument(
        "--image-column",
        metavar="NAME",
        help="of the table, with the path or the image; default: image or name. Of a tar: the image's extension",
    )
    parser.add_argument(
        "--prompt-column",
        metavar="NAME",
        help="of the table; default: prompt. Of a tar: a key of the JSON, or an extension; default: txt",
    )


def images_of(arguments: argparse.Namespace) -> list[ListedImage]:
    """The images that `add_images` asked for; what was left out is named on standard error.

    Images that stand in tars or tables are unpacked below `arguments.out`, for as long as the list lives.

    Raises:
        InputError: options that do not belong together, or no images there.
    """
    if arguments.prompt is not None and not arguments.images:
        raise InputError("--prompt belongs to images that are named; with --table, prompts are a column")
    if not (arguments.table or arguments.tar) and (arguments.image_column or arguments.prompt_column):
        raise InputError("--image-column and --prompt-column are columns of a --table, or what a --tar has")
    unpacked = Unpacked(arguments.out / ".cache" / "unpacked")
    try:
        images, others = _images_and_others(arguments, unpacked)
    finally:
        unpacked.shown()
    if others:
        shown = ", ".join(map(brief, others[:LEFT_OUT_SHOWN]))
        more = f" and {len(others) - LEFT_OUT_SHOWN} more" if len(others) > LEFT_OUT_SHOWN else ""
        print(printable(f"left out, for no images: {shown}{more}"), file=sys.stderr)
    return images


def _images_and_others(arguments: argparse.Namespace, unpacked: Unpacked) -> tuple[list[ListedImage], list[str]]:
    columns = {"image": arguments.image_column, "prompt": arguments.prompt_column}
    if arguments.tar:
        return from_tars(_files(arguments.tar, TARS), unpacked, **columns)
    if arguments.folder:
        images, paths = from_folder(arguments.folder)
        out = arguments.out.resolve()  # what earlier runs wrote is neither an image to score nor worth a word
        kept = [image for image in images if not image.path.resolve().is_relative_to(out)]
        if not kept:
            raise InputError(f"{arguments.folder}: no images here but what earlier runs wrote into {arguments.out}")
        return kept, [str(path) for path in paths if not path.resolve().is_relative_to(out)]
    if arguments.table:
        tables = _files(arguments.table, tuple(READERS)).values()
        return [image for table in tables for image in from_table(table, unpacked, **columns)], []
    return [ListedImage(str(path), path, arguments.prompt or "") for path in arguments.images], []


def _files(named: Sequence[str], suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Where each file is that is named, by what to call it."""
    files: dict[str, Path] = {}
    for name in named:
        found = hub_files(name, suffixes) if on_hub(name) else {name: Path(name)}
        if twice := sorted(files.keys() & found.keys()):
            raise InputError(f"{twice[0]}: named twice")
        files |= found
    return files
