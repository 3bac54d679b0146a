"""From rated images to samples: every label and every image checked, MOS and std on one 0 to 5 scale.

Images are copied, not linked: a link would let a later edit of yours change what the pipeline has already hashed.
"""

import math
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from data.ingest.labels import Rated
from data.ingest.lookup import Files
from data.readers import read_labels
from data.splitting.prompts import prompt_groups, repeated
from data.tables.frames import SPLITS, aspects_of, check_samples, write_table
from m3agiqa.aspects import ASPECTS, MOS_RANGE, Scale
from m3agiqa.errors import InputError
from m3agiqa.files import sha256, write_json
from m3agiqa.images import load_image, pixels_sha256
from m3agiqa.progress import Progress, silent

MAX_NAME_BYTES = 200  # file systems stop at 255, and a temporary name is longer
PUBLISHED = "published_split.parquet"  # the authors' own split, beside the samples


class Ingested(NamedTuple):
    """A data set as the pipeline knows it."""

    samples: pd.DataFrame
    about: dict[str, Any]  # what about.json says: how many images, and what was left out, unrated or repeated


def ingest(
    reader: str,
    roots: Sequence[Path],
    out: Path | str,
    *,
    scale: Scale,
    progress: Progress = silent,
) -> Ingested:
    """Read the data set below `roots`, copy its images to `out`/images/; the samples, and what is to be known of them.

    `scale` is the lowest and the highest MOS that the data set's own scale has; its MOS and std are mapped to 0 to 5.
    An image without a MOS of an aspect is no sample of that aspect, and one without any is left out; both are counted.
    Images in `out` that are not part of the set are removed. The counts are in `out`/about.json too, and the authors'
    own split, where the label files tell of one, in `out`/published_split.parquet.

    Raises:
        InputError: naming the file, the row and what was expected.
    """
    out = Path(out)
    _check_scale(scale)
    _check_apart(roots, out)
    files = Files(roots)
    rated = [_without_mos(row) for row in read_labels(reader, files, scale)]
    used = [row for row in rated if not row.left_out]
    if not used:
        raise InputError(f"{rated[0].where}: no image with a MOS, in this row or another")
    is_split = any(row.part for row in used)
    for row in used:
        _check_name(row)
        if is_split:
            _check_part(row)
    ids = _image_ids([row.name for row in used])
    aspects = [aspect for aspect in ASPECTS if any(_is_given(row.mos.get(aspect, "")) for row in used)]
    labels = [_labels(row, aspects, scale) for row in used]
    paths = [files.find(row.file, row.where) for row in used]

    _remove_strangers(out / "images", {row.name for row in used})
    samples = []
    work = zip(used, ids, labels, paths, strict=True)
    for row, image_id, label, path in progress(work, total=len(used), desc="read images", unit="images"):
        sample = {"image_id": image_id, "path": f"images/{row.name}", "prompt": row.prompt}
        sample |= {"generator": row.generator, "comment": row.comment}
        samples.append(sample | _take(row, path, out) | label)
    os.sync()  # once, instead of a flush for each of thousands of images
    table = check_samples(pd.DataFrame(samples), roots[0])
    if is_split:
        parts = pd.DataFrame({"image_id": ids, "split": [row.part for row in used]})
        write_table(parts, out / PUBLISHED)
    about = {
        "reader": reader,
        "scale": list(scale),
        "rows": len(rated),
        "left_out": dict(Counter(row.left_out for row in rated if row.left_out)),  # by reason
        **counts(table),
    }
    write_json(out / "about.json", about)
    return Ingested(table, about)


def counts(samples: pd.DataFrame) -> dict[str, Any]:
    """How many images there are, how many were not rated on an aspect, and how much is there more than once."""
    groups = prompt_groups(samples).value_counts()
    unrated = {aspect: int(samples[f"mos_{aspect}"].isna().sum()) for aspect in aspects_of(samples)}
    return {
        "images": len(samples),
        "unrated": {aspect: count for aspect, count in unrated.items() if count},
        "repeated": repeated(samples)._asdict(),
        "groups": {"count": len(groups), "largest": int(groups.max())},  # of images that share a prompt or a picture
    }


def _check_scale(scale: Scale) -> None:
    low, high = scale
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"scale [{low}, {high}]: expected two numbers, the lowest MOS and the highest")


def _check_apart(roots: Iterable[Path], out: Path) -> None:
    there = out.resolve()
    for root in roots:
        here = root.resolve()
        if here.is_relative_to(there) or there.is_relative_to(here):
            raise InputError(f"{root}: one folder with the copies in {out}; keep your images outside it")


def _check_name(row: Rated) -> None:
    name = row.name
    if name in {".", ".."} or "/" in name or "\\" in name:
        raise InputError(f"{row.where}: name {name!r} is a path, expected a plain file name without folders or '..'")
    if not name.isprintable() or len(name.encode()) > MAX_NAME_BYTES:
        raise InputError(
            f"{row.where}: name {name!r}, expected printable characters and at most {MAX_NAME_BYTES} bytes"
        )


def _check_part(row: Rated) -> None:
    """Where the authors split the set, every image is in a part of it."""
    if row.part not in SPLITS:
        raise InputError(f"{row.where}: in the published split it is {row.part!r}, expected {', '.join(SPLITS)}")


def _image_ids(names: list[str]) -> list[str]:
    """The name without its extension where no other name could be mistaken for it, else the name."""
    taken = Counter(Path(name).stem for name in names) + Counter(names)
    return [stem if taken[stem := Path(name).stem] == 1 else name for name in names]


def _without_mos(row: Rated) -> Rated:
    """The same row, left out if no aspect of it was rated."""
    return row if row.left_out or any(map(_is_given, row.mos.values())) else replace(row, left_out="no MOS")


def _is_given(mos: str | float) -> bool:
    """Whether it was rated at all: not so where the field is empty, or a MATLAB file has NaN."""
    return bool(mos.strip()) if isinstance(mos, str) else not math.isnan(mos)


def _labels(row: Rated, aspects: Iterable[str], scale: Scale) -> dict[str, float]:
    """MOS and std of one image, on the scale 0 to 5; NaN for an aspect on which it was not rated."""
    low, high = scale
    lowest, highest = MOS_RANGE
    factor = (highest - lowest) / (high - low)
    labels: dict[str, float] = {}
    for aspect in aspects:
        given, given_std = row.mos.get(aspect, ""), row.std.get(aspect, "")
        if not _is_given(given):
            labels |= {f"mos_{aspect}": math.nan, f"std_{aspect}": math.nan}
            continue
        mos, std = _number(given), _number(given_std)
        if not low <= mos <= high:  # NaN too
            raise InputError(f"{row.where}: mos_{aspect} is {given!r}, expected a number from {low:g} to {high:g}")
        if str(given_std).strip() and not 0 <= std <= high - low:
            raise InputError(f"{row.where}: std_{aspect} is {given_std!r}, expected nothing or 0 to {high - low:g}")
        labels[f"mos_{aspect}"] = min(lowest + (mos - low) * factor, highest)  # rounding may overshoot
        labels[f"std_{aspect}"] = std * factor
    return labels


def _number(given: str | float) -> float:
    """The number that a label file gives, or NaN."""
    try:
        return float(given)
    except ValueError:
        return math.nan


def _take(row: Rated, path: Path, out: Path) -> dict[str, str]:
    """Check an image and copy it; SHA-256 of the file, and of the picture in it."""
    try:
        pixels = pixels_sha256(load_image(path))  # truncation shows in no other way
    except InputError as error:
        raise InputError(f"{row.where}: {error}") from None
    copy = out / "images" / row.name
    shutil.copyfile(path, copy)
    return {"sha256": sha256(copy), "pixels": pixels}


def _remove_strangers(folder: Path, names: set[str]) -> None:
    """Remove what an earlier run left in `folder` and this set does not have."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()
