"""Which images others tested on: facts read from their repositories, so that figures can be compared with theirs.

One file a data set. A row names a list, a pattern of file names and the numbers that fill it, as they stand in
the names. Lists are called by the aspect that they are for, or `all`; `ipce-1` to `ipce-10` are the ten splits
that share no prompt.

| data set | lists | images | from |
|---|---|---|---|
| agiqa-3k | quality, correspondence | 597 each, 127 in both | the repository of M3-AGIQA |
| agiqa-3k | ipce-1 … ipce-10 | 593 to 600 | the repository of IPCE; later papers use them too |
| aigciqa2023 | all | 600 | the repository of M3-AGIQA |
"""

import csv
from pathlib import Path

import pandas as pd

from m3agiqa.errors import InputError

FOLDER = Path(__file__).parent


def has_lists(dataset: str) -> bool:
    """Whether there are any of this data set."""
    return (FOLDER / f"{dataset}.csv").is_file()


def lists_of(dataset: str) -> dict[str, set[str]]:
    """The lists of `dataset`, each a set of file names. Raises InputError where there are none."""
    path = FOLDER / f"{dataset}.csv"
    if not has_lists(dataset):
        known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.csv")))
        raise InputError(f"split: no published test lists for data set {dataset!r}, only for {known}")
    lists: dict[str, set[str]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            names = (row["file"].format(number) for number in row["numbers"].split())
            lists.setdefault(row["list"], set()).update(names)
    return lists


def on_list(samples: pd.DataFrame, dataset: str, name: str) -> pd.Series:
    """Whether each of the samples is on the list `name`, by its file name.

    Raises:
        InputError: there is no such list, or an image on it is not among the samples.
    """
    lists = lists_of(dataset)
    if name not in lists:
        raise InputError(f"split: data set {dataset!r} has no published test list {name!r}, only {', '.join(lists)}")
    files = samples["path"].map(lambda path: Path(path).name)
    if missing := lists[name] - set(files):
        raise InputError(
            f"split: {len(missing)} images of the published test list {name!r}, such as {min(missing)!r}, are not in "
            f"the data set {dataset!r}: figures on the rest could not be compared"
        )
    return files.isin(lists[name])
