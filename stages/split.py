"""split: train, val and test by the chosen protocol."""

from data import splitting
from data.tables import read_table, write_table
from stages import paths
from stages.run import stage
from stages.settings import Settings


def main(settings: Settings) -> None:
    samples = read_table(paths.samples(settings.dataset), ["path", "prompt", "generator"])
    parts = splitting.split(samples, settings.dataset, **settings.split.model_dump())
    write_table(parts, paths.splits(settings.dataset))


if __name__ == "__main__":
    stage(main)
