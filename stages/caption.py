"""caption: the teacher describes the train and val images, every aspect of the data set at once.

Test images never reach the teacher: what it says is what the student learns from. Where each aspect has a test list of
its own, an image that is tested on one aspect is described for the others, and what was said of that one is left out.
An image that the teacher does not describe has no row, so that nothing is distilled from it; results/caption.json
counts those by reason, and the stage fails where they are more than `caption.max_failed` of all.
"""

import argparse
import sys
from collections import Counter
from datetime import UTC, datetime
from functools import partial

import pandas as pd

from analyzers.asking import Unavailable
from analyzers.teacher import DailyQuota
from data.errors import InputError
from data.files import write_json
from data.tables import ASPECTS, aspects_of, joined, read_table, split_column, write_table
from stages import paths
from stages.paid import Options, estimate, paid
from stages.run import stage
from stages.settings import Settings
from stages.teachers import FREE, Described

QUOTA, UNAVAILABLE = 75, 69  # exit statuses: sysexits' EX_TEMPFAIL and EX_UNAVAILABLE


def main(settings: Settings, options: Options = Options()) -> None:  # noqa: B008 (frozen)
    dataset = settings.dataset
    splits = read_table(paths.splits(dataset))
    samples = joined(read_table(paths.samples(dataset)), splits)
    seen, test = samples[samples["split"] != "test"], samples[samples["split"] == "test"]
    kind = settings.teachers[settings.teacher].kind
    if options.dry_run:
        print(f"teacher {kind} is free" if kind in FREE else estimate(settings, seen, options))
        return
    try:
        described = FREE[kind](settings, seen, test) if kind in FREE else paid(settings, seen, options)
    except (DailyQuota, Unavailable) as error:
        print(f"caption: {error}", file=sys.stderr)
        sys.exit(QUOTA if isinstance(error, DailyQuota) else UNAVAILABLE)
    write_json(paths.RESULTS / "caption.json", _summary(settings, described))
    _check(described, settings.caption.max_failed)
    table = _without_tested(_table(described, aspects_of(seen), kind), splits)
    write_table(table, paths.captions(dataset))


def _table(described: Described, aspects: tuple[str, ...], teacher: str) -> pd.DataFrame:
    rows = [{"image_id": image_id, **said, "teacher": teacher} for image_id, said in described.explanations.items()]
    table = pd.DataFrame(rows, columns=["image_id", *aspects, "teacher"])
    return table if described.saw_mos is None else table.assign(saw_mos=described.saw_mos)


def _without_tested(table: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """Null what was said of an image about an aspect that it is tested on."""
    splits = splits.set_index("image_id")
    for aspect in table.columns.intersection(ASPECTS):
        split = table["image_id"].map(splits[split_column(splits, aspect)])
        table[aspect] = table[aspect].mask(split == "test")
    return table


def _summary(settings: Settings, described: Described) -> dict[str, object]:
    """The same for every teacher; one that is free spent nothing."""
    totals, prices = described.totals, described.prices
    return {
        "dataset": settings.dataset,
        "teacher": settings.teacher,
        "images": len(described.explanations) + len(described.failures),
        "described": len(described.explanations),
        "failed": len(described.failures),
        "failures": dict(sorted(Counter(described.failures.values()).items())),
        "requests": totals.requests,
        "answers": totals.answers,
        "tokens": totals.usage.as_dict(),
        "usd": round(prices.cost(totals.usage), 4) if prices else 0.0,
        "prices_of": str(prices.date) if prices else None,
        "answered_by": dict(sorted(totals.versions.items())),
    }


def _check(described: Described, max_failed: float) -> None:
    failed, images = len(described.failures), len(described.explanations) + len(described.failures)
    if failed > max_failed * images:
        reasons = Counter(described.failures.values()).most_common()
        raise InputError(
            f"{failed} of {images} images have no description, more than caption.max_failed ({max_failed}) allows: "
            + ", ".join(f"{count} × {reason}" for reason, count in reasons)
        )


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m stages.caption", description="Have the images described.")
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and ask nothing")
    parser.add_argument("--retry-blocked", action="store_true", help="ask again about images that failed")
    parser.add_argument(
        "--refresh",
        type=datetime.fromisoformat,
        nargs="?",
        const=datetime.now(UTC),
        metavar="TIME",
        help="ask again what was answered before TIME (now), and pay again; to go on, give the TIME of the first run",
    )
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    stage(partial(main, options=_options()))
