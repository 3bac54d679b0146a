"""split: train, val and test by the chosen protocol."""

from data import splitting
from data.tables import read_table, write_table
from stages import paths
from stages.run import stage
from stages.settings import Settings


def main(settings: Settings) -> None:
    samples = read_table(paths.samples(settings.dataset), ["path", "prompt", "generator"])
    own = paths.published_split(paths.raw(settings.dataset))
    authors = read_table(own, ["split"]) if own.exists() else None
    parts = splitting.split(samples, settings.dataset, own=authors, **settings.split.model_dump())
    write_table(parts, paths.splits(settings.dataset))


if __name__ == "__main__":
    stage(main)
