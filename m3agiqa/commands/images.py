"""Which images a command is about: files that are named, the rows of a table, a folder."""

import argparse
import sys
from pathlib import Path

from m3agiqa.errors import InputError
from m3agiqa.gallery import printable
from m3agiqa.given import brief
from m3agiqa.image_list import ListedImage, from_folder, from_table

LEFT_OUT_SHOWN = 5  # files by name


def add_images(parser: argparse.ArgumentParser) -> None:
    """IMAGE …, --table or --folder, and what goes with them."""
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("images", nargs="*", default=[], type=Path, metavar="IMAGE", help="image files")
    images.add_argument("--table", type=Path, metavar="FILE", help="CSV, JSON lines or Parquet: a row an image")
    images.add_argument("--folder", type=Path, metavar="DIR", help="all images of a folder and the folders in it")
    parser.add_argument("--prompt", metavar="TEXT", help="what the images were generated from")
    parser.add_argument("--image-column", metavar="NAME", help="of the table, with the path; default: image or name")
    parser.add_argument("--prompt-column", metavar="NAME", help="of the table; default: prompt")


def images_of(arguments: argparse.Namespace) -> list[ListedImage]:
    """The images that `add_images` asked for; what was left out is named on standard error.

    Raises:
        InputError: options that do not belong together, or no images there.
    """
    if arguments.prompt is not None and not arguments.images:
        raise InputError("--prompt belongs to images that are named; with --table, prompts are a column")
    if not arguments.table and (arguments.image_column or arguments.prompt_column):
        raise InputError("--image-column and --prompt-column are columns of a --table")
    if arguments.table:
        return from_table(arguments.table, image=arguments.image_column, prompt=arguments.prompt_column)
    if arguments.folder:
        images, others = from_folder(arguments.folder)
        if others:
            shown = ", ".join(brief(str(path)) for path in others[:LEFT_OUT_SHOWN])
            more = f" and {len(others) - LEFT_OUT_SHOWN} more" if len(others) > LEFT_OUT_SHOWN else ""
            print(printable(f"left out, for no images: {shown}{more}"), file=sys.stderr)
        return images
    return [ListedImage(str(path), path, arguments.prompt or "") for path in arguments.images]
