"""Where the stages leave what they write. dvc.yaml names the same places."""

from pathlib import Path

RESULTS = Path("results")


def raw(dataset: str) -> Path:
    return Path("data/raw") / dataset


def samples(dataset: str) -> Path:
    return raw(dataset) / "samples.parquet"


def truth(dataset: str) -> Path:
    """Noise-free scores: only simulated data sets have them."""
    return raw(dataset) / "truth.parquet"


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
