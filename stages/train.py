"""train: the head learns the MOS from the cached hidden states; the epoch is selected on val."""

import shutil
from pathlib import Path

from data.feature_store.store import FeatureStore
from data.tables.frames import joined, read_samples, read_table
from finetune.heads.training import train_head
from m3agiqa.device import device, model_of
from m3agiqa.files import fingerprint, write_json, write_text
from m3agiqa.head.model import build_head, save_head
from m3agiqa.progress import progress
from pipeline import paths
from pipeline.put_away import put_away
from pipeline.settings import Settings
from pipeline.stage import stage
from pipeline.unfinished import unfinished

LOSSES = paths.RESULTS / "training"


def main(settings: Settings) -> None:
    store = FeatureStore.open(paths.features(settings.dataset, settings.aspect))
    put_away("features", store.fingerprint)
    learn(settings, "train", store, paths.head(settings.dataset, settings.aspect), LOSSES / "head.csv")


def learn(settings: Settings, stage: str, store: FeatureStore, out: Path, losses: Path) -> None:
    """Train a head on the states in `store`, into the folder `out`; the table `losses` has a row an epoch."""
    dataset, aspect = settings.dataset, settings.aspect
    samples = joined(read_samples(paths.samples(dataset), aspect, []), read_table(paths.splits(dataset)), aspect)
    labelled = samples[["image_id", "split"]].assign(mos=samples[f"mos_{aspect}"])
    train, val = (labelled[labelled["split"] == part].drop(columns="split") for part in ("train", "val"))

    head = build_head(input_dim=store.dim, seed=settings.train.seed, **settings.heads[settings.head].model_dump())
    inputs = [
        store.fingerprint,
        head.recipe,
        settings.train.model_dump(),
        *(fingerprint(part.to_numpy().tolist()) for part in (train, val)),
    ]
    with unfinished(stage, inputs) as scratch:
        weights, history = train_head(
            head,
            store,
            train,
            val,
            settings.train,
            device=device(settings.runtime.device),
            checkpoints=scratch.path,
            progress=progress,
        )
        head.load_state_dict(weights)
        shutil.rmtree(out, ignore_errors=True)
        save_head(head, out)
        write_json(paths.head_made_on(out), {"device": model_of(settings.runtime.device)})
        write_text(losses, history.to_csv(index=False))


if __name__ == "__main__":
    stage(main)
