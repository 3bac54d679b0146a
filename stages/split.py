"""split: train, val and test parts that share no prompt."""

from data.splitting import prompt_disjoint
from data.tables import read_table, write_table
from stages import paths
from stages.run import stage
from stages.settings import Settings


def main(settings: Settings) -> None:
    samples = read_table(paths.samples(settings.dataset), ["prompt", "generator"])
    protocol = settings.split
    parts = prompt_disjoint(samples, val=protocol.val, test=protocol.test, seed=protocol.seed)
    write_table(parts, paths.splits(settings.dataset))


if __name__ == "__main__":
    stage(main)
