"""train_fast: the same head on the states of image and question alone, for a judge that writes no description.

To write is most of the time that an image takes. What that judge loses is in results/evaluation.json, under `fast`.
"""

from data.feature_store.store import FeatureStore
from pipeline import paths
from pipeline.settings import Settings
from pipeline.stage import stage
from stages.train import LOSSES, learn


def main(settings: Settings) -> None:
    store = FeatureStore.open(paths.features(settings.dataset, settings.aspect)).without_descriptions()
    out = paths.fast_head(settings.dataset, settings.aspect)
    learn(settings, "train_fast", store, out, LOSSES / "fast_head.csv")


if __name__ == "__main__":
    stage(main)
