"""cross: with `evaluate.on`, the test images of another data set, as the student that learnt on `dataset` sees them.

They are those that a model of that data set would be tested on: the same protocol splits it, and only its test
part is kept. Its MOS is on the same 0-5 scale. Without `evaluate.on` there is nothing to do, and the output says so.
"""

import shutil

from data.files import write_json
from data.splitting import split
from data.tables import joined, read_table, require_aspect, write_table
from stages import paths
from stages.run import stage
from stages.settings import Settings


def main(settings: Settings) -> None:
    on, out = settings.evaluate.on, paths.abroad(settings.dataset, settings.aspect)
    shutil.rmtree(out, ignore_errors=True)
    if on:
        from stages import describe, download, features  # noqa: PLC0415 (torch, which most runs do not need here)

        download.bring(settings, on, out)
        _keep_test(settings, on)
        *_, place = paths.places(settings.dataset, settings.aspect, cross=True)
        describe.describe_all(settings, place)
        features.read_all(settings, place)
    ratings = settings.ratings(on) if on else {}
    write_json(out / "cross.json", {"on": on, **ratings})


def _keep_test(settings: Settings, on: str) -> None:
    """Leave nothing but the test images of `on`."""
    out = paths.abroad(settings.dataset, settings.aspect)
    samples = read_table(out / "samples.parquet", ["path", "prompt", "generator"])
    require_aspect(samples, settings.aspect)
    own = paths.published_split(out)
    authors = read_table(own, ["split"]) if own.exists() else None
    parts = split(samples, on, own=authors, **settings.split.model_dump())
    parted = joined(samples, parts, settings.aspect)
    test = parted["split"] == "test"
    for path in samples.loc[~test, "path"]:
        (out / path).unlink()
    write_table(samples[test], out / "samples.parquet")
    write_table(parted.loc[test, ["image_id", "split"]], out / "splits.parquet")


if __name__ == "__main__":
    stage(main)
