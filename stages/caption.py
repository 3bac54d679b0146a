"""caption: the teacher describes the train and val images, every aspect of the data set at once.

Test images never reach the teacher: what it says is what the student learns from.
"""

import pandas as pd

from analyzers.measurements import measure
from analyzers.offline import OfflineTeacher
from data.images import load_image
from data.tables import aspects_of, joined, read_table, write_table
from stages import paths
from stages.progress import progress
from stages.run import stage
from stages.settings import Settings


def main(settings: Settings) -> None:
    dataset = settings.dataset
    samples = joined(read_table(paths.samples(dataset)), read_table(paths.splits(dataset)))
    seen = samples[samples["split"] != "test"]
    aspects = aspects_of(seen)
    files = [paths.raw(dataset) / path for path in seen["path"]]

    measured = progress(files, total=len(files), desc="measure", unit="images")
    teacher = OfflineTeacher(measure(load_image(file)) for file in measured)
    rows = []
    labelled = zip(files, seen.to_dict("records"), strict=True)
    for file, sample in progress(labelled, total=len(files), desc="caption", unit="images"):
        mos = {aspect: sample[f"mos_{aspect}"] for aspect in aspects}
        explanations = teacher.describe(load_image(file), sample["prompt"], mos, sample["comment"])
        rows.append({"image_id": sample["image_id"], **explanations, "teacher": teacher.name})
    write_table(pd.DataFrame(rows), paths.captions(dataset))


if __name__ == "__main__":
    stage(main)
