"""Where the stages leave what they write, as dvc.yaml has it; the models' places are the library's."""

from dataclasses import dataclass
from pathlib import Path

from m3agiqa.model_paths import adapter, card, fast_head, head

__all__ = ["adapter", "card", "fast_head", "head"]

SOURCES = Path("data/sources")  # what the local files look like: dataset.json, teacher.json, cross.json
RESULTS = Path("results")
METRICS = RESULTS / "metrics.json"  # few figures, and flat: what people compare
EVALUATION = RESULTS / "evaluation.json"  # all of them


@dataclass(frozen=True)
class DatasetPaths:
    """Where a data set's images are, and what the student made of them."""

    raw: Path
    splits: Path
    descriptions: Path
    features: Path

    @property
    def samples(self) -> Path:
        return self.raw / "samples.parquet"

    @property
    def descriptions_made_on(self) -> Path:
        """What `describe` ran on (pipeline/processes.py): beside the descriptions, which should not change with it."""
        return self.descriptions.with_suffix(".json")

    @property
    def features_made_on(self) -> Path:
        """Likewise of `features`."""
        return self.features.with_name(f"{self.features.name}.json")


def of_dataset(dataset: str, aspect: str) -> DatasetPaths:
    """The data set that everything is learnt from."""
    return DatasetPaths(raw(dataset), splits(dataset), descriptions(dataset, aspect), features(dataset, aspect))


def of_cross(dataset: str, aspect: str) -> DatasetPaths:
    """The other data set's test images, as the student trained on `dataset` sees them; there with `evaluate.on`."""
    folder = cross(dataset, aspect)
    return DatasetPaths(folder, folder / "splits.parquet", folder / "descriptions.parquet", folder / "features")


def head_made_on(folder: Path) -> Path:
    """What the head in that folder was trained on."""
    return folder / "made_on.json"


def raw(dataset: str) -> Path:
    return Path("data/raw") / dataset


def samples(dataset: str) -> Path:
    return raw(dataset) / "samples.parquet"


def published_split(raw: Path) -> Path:
    """The authors' own split, where a data set's label files tell of one."""
    return raw / "published_split.parquet"


def sets(raw: Path) -> Path:
    """Of a joined data set: which one each image is of."""
    return raw / "sets.parquet"


def splits(dataset: str) -> Path:
    return Path("data/splits") / f"{dataset}.parquet"


def captions(dataset: str) -> Path:
    return Path("data/captions") / f"{dataset}.parquet"


def descriptions(dataset: str, aspect: str) -> Path:
    return Path("data/descriptions") / f"{dataset}-{aspect}.parquet"


def features(dataset: str, aspect: str) -> Path:
    return Path("data/features") / f"{dataset}-{aspect}"


def cross(dataset: str, aspect: str) -> Path:
    return Path("data/cross") / f"{dataset}-{aspect}"
