"""Where the stages leave what they write. dvc.yaml names the same places."""

from dataclasses import dataclass
from pathlib import Path

ADAPTER_FILE = "adapter_config.json"  # in an adapter's folder; absent where distillation is switched off
RESULTS = Path("results")


def raw(dataset: str) -> Path:
    return Path("data/raw") / dataset


def samples(dataset: str) -> Path:
    return raw(dataset) / "samples.parquet"


def published_split(raw: Path) -> Path:
    """The authors' own split, where a data set's label files tell of one."""
    return raw / "published_split.parquet"


def splits(dataset: str) -> Path:
    return Path("data/splits") / f"{dataset}.parquet"


def captions(dataset: str) -> Path:
    return Path("data/captions") / f"{dataset}.parquet"


def adapter(dataset: str, aspect: str) -> Path:
    return Path("models/adapters") / f"{dataset}-{aspect}"


def descriptions(dataset: str, aspect: str) -> Path:
    return Path("data/descriptions") / f"{dataset}-{aspect}.parquet"


def features(dataset: str, aspect: str) -> Path:
    return Path("data/features") / f"{dataset}-{aspect}"


def head(dataset: str, aspect: str) -> Path:
    return Path("models/heads") / f"{dataset}-{aspect}"


def card(dataset: str, aspect: str) -> Path:
    return Path("models/cards") / f"{dataset}-{aspect}.json"


def abroad(dataset: str, aspect: str) -> Path:
    """Another data set's images, as the student trained on `dataset` sees them; empty without `evaluate.on`."""
    return Path("data/cross") / f"{dataset}-{aspect}"


@dataclass(frozen=True)
class Place:
    """Where a data set's images are, and what the student made of them."""

    raw: Path
    splits: Path
    descriptions: Path
    features: Path


def places(dataset: str, aspect: str, *, cross: bool = False) -> list[Place]:
    """The data set's own place, and, last, the place of the test images where those are another data set's."""
    home = Place(raw(dataset), splits(dataset), descriptions(dataset, aspect), features(dataset, aspect))
    if not cross:
        return [home]
    folder = abroad(dataset, aspect)
    return [home, Place(folder, folder / "splits.parquet", folder / "descriptions.parquet", folder / "features")]
