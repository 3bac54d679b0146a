"""LIVE In the Wild Image Quality Challenge Database (Ghadiyaram and Bovik 2016): 1,162 photographs, from 0 to 100.

ChallengeDB_release, as its authors hand it out: Images/, and in Data/ three MATLAB files of one order, which its readme
explains and which public readers of it agree on. AllImages_release.mat has 1,169 names, AllMOS_release.mat and
AllStdDev_release.mat mean and spread of about 175 raters' own scores an image; each variable is called like its file.

Seven of the names, t1.bmp and so on in Images/trainingImages/, are what raters were shown to learn their task: they are
left out, as everybody does, and counted. There are no prompts and no generators: cameras took these. A folder that has
data.csv instead, as in `folder`, is read as such.
"""

import re
from collections.abc import Iterator

from data.ingest.labels import Rated
from data.ingest.lookup import Files
from data.ingest.matlab import Variable, numbers, texts
from data.readers import folder
from m3agiqa.aspects import Scale
from m3agiqa.errors import InputError

SHOWN_FIRST = re.compile(r"t\d+\.\w+")


def read(files: Files, scale: Scale) -> Iterator[Rated]:
    if files.matching("data.csv"):
        yield from folder.read(files, scale)
        return
    listed = _variable(files, "AllImages_release")
    names = texts(listed)
    if len(set(names)) < len(names):
        raise InputError(f"{listed.path}: {max(names, key=names.count)!r} is listed twice")
    labels = [_variable(files, f"All{kind}_release") for kind in ("MOS", "StdDev")]
    table = zip(names, *numbers(labels, len(names)), strict=True)
    for number, (name, mos, std) in enumerate(table, start=1):
        yield Rated(
            where=f"{listed.path}, image {number}",
            name=name,
            file=f"Images/{name}",
            prompt="",
            mos={"quality": float(mos)},
            std={"quality": float(std)},
            left_out="shown to the raters before they began" if SHOWN_FIRST.fullmatch(name) else "",
        )


def _variable(files: Files, name: str) -> Variable:
    return Variable(files.find(f"Data/{name}.mat"), name)
