"""cross: with `evaluate.on`, the test images of another data set, as the student that learnt on `dataset` sees them.

They are those that a model of that data set would be tested on: the same protocol splits it, and only its test
part is kept. Its MOS is on the same 0-5 scale. Without `evaluate.on` there is nothing to do, and the output says so.
"""

import shutil

from data.tables.frames import joined, read_table, require_aspect, write_table
from m3agiqa.files import write_json
from pipeline import paths, sources
from pipeline.ranks import is_first
from pipeline.settings import Settings
from pipeline.sources import DatasetSource
from pipeline.stage import stage


def main(settings: Settings) -> None:
    other = sources.read(DatasetSource, sources.CROSS, settings.evaluate.on)
    out = paths.cross(settings.dataset, settings.aspect)
    ratings = {}
    if is_first():
        shutil.rmtree(out, ignore_errors=True)
    if other.profile and other.name:
        from pipeline.processes import process  # noqa: PLC0415 (torch, which most runs do not need here)
        from stages import describe, download, features  # noqa: PLC0415

        here = process(settings.runtime.device)
        of_cross = paths.of_cross(settings.dataset, settings.aspect)
        if here.is_main_process:
            download.bring(other.name, other.profile, out, other.members)
            _keep_test(settings, other.name)
        here.wait_for_everyone()
        describe.describe_all(settings, of_cross)
        features.read_all(settings, of_cross)
        profile = other.profile
        ratings = {"scale": profile.scale, "raters": profile.raters, "averaged": profile.averaged}
    if is_first():
        write_json(out / "cross.json", {"on": other.name, **ratings})


def _keep_test(settings: Settings, on: str) -> None:
    """Leave nothing but the test images of `on`."""
    from stages.split import split_samples  # noqa: PLC0415 (transformers)

    of_cross = paths.of_cross(settings.dataset, settings.aspect)
    samples = read_table(of_cross.samples)
    require_aspect(samples, settings.aspect)
    parted = joined(samples, split_samples(on, settings.split, of_cross.raw), settings.aspect)
    test = parted[parted["split"] == "test"]
    for path in samples.loc[~samples["path"].isin(test["path"]), "path"]:
        (of_cross.raw / path).unlink()
    write_table(test.drop(columns="split"), of_cross.samples)
    write_table(test[["image_id", "split"]], of_cross.splits)


if __name__ == "__main__":
    stage(main, parallel=True)
