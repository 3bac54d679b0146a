"""train: the head learns the MOS from the cached hidden states; the epoch is selected on val."""

import shutil

from data import feature_batch, feature_store
from data.files import fingerprint, write_text
from data.tables import joined, read_table, require_aspect
from finetune import heads, losses, slstm, stacks, standardise, train_head
from stages import paths
from stages.device import device
from stages.progress import progress
from stages.run import Scratch, stage
from stages.settings import Settings


def main(settings: Settings) -> None:
    dataset, aspect = settings.dataset, settings.aspect
    samples = joined(read_table(paths.samples(dataset)), read_table(paths.splits(dataset)), aspect)
    require_aspect(samples, aspect)
    labelled = samples[["image_id", "split"]].assign(mos=samples[f"mos_{aspect}"])
    train, val = (labelled[labelled["split"] == part].drop(columns="split") for part in ("train", "val"))

    store = feature_store.FeatureStore.open(paths.features(dataset, aspect))
    head = heads.build_head(input_dim=store.dim, seed=settings.train.seed, **settings.heads[settings.head].model_dump())
    options = settings.train.model_dump()
    inputs = [
        store.fingerprint,
        head.recipe,
        options,
        *(fingerprint(part.to_numpy().tolist()) for part in (train, val)),
    ]
    code = [feature_batch, feature_store, heads, losses, slstm, stacks, standardise, train_head]
    with Scratch("train", inputs, code=code) as scratch:
        weights, history = train_head.train_head(
            head, store, train, val, **options, device=device(settings), checkpoints=scratch.path, progress=progress
        )
        head.load_state_dict(weights)
        out = paths.head(dataset, aspect)
        shutil.rmtree(out, ignore_errors=True)
        heads.save_head(head, out)
        write_text(paths.RESULTS / "training" / "head.csv", history.to_csv(index=False))


if __name__ == "__main__":
    stage(main)
