"""caption: the teacher describes the train and val images, every aspect of the data set at once.

Test images never reach the teacher: what it says is what the student learns from. Where each aspect has a test list of
its own, an image that is tested on one aspect is described for the others, and what was said of that one is left out.
An image that the teacher does not describe has no row, so that nothing is distilled from it; results/caption.json
counts those by reason, and the stage fails where they are more than `caption.max_failed` of all. It also counts the
explanations that repeat the score although the teacher was asked again.
"""

import argparse
import sys
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from typing import Any

from analyzers.budget import BudgetSpent
from analyzers.captions import Captions
from analyzers.journalled import estimate
from analyzers.patience import Unavailable
from analyzers.teacher import DailyQuota
from analyzers.teachers import FREE, captions
from analyzers.terms import Options
from data.tables.frames import aspects_of, column_names, read_table, split_column
from data.tables.rows import row_writer
from m3agiqa.aspects import ASPECTS
from m3agiqa.errors import InputError
from m3agiqa.files import write_json
from pipeline import paths
from pipeline.settings import Settings
from pipeline.stage import stage

# Exit statuses: sysexits' EX_TEMPFAIL, EX_UNAVAILABLE and EX_NOPERM
STATUSES: dict[type[Exception], int] = {DailyQuota: 75, Unavailable: 69, BudgetSpent: 77}


def main(settings: Settings, options: Options = Options()) -> None:  # noqa: B008 (frozen)
    kind = settings.teachers[settings.teacher].kind
    try:
        if options.dry_run or options.probe:
            print(f"teacher {kind} is free" if kind in FREE else estimate(settings, options))
        else:
            with captions(settings, options) as work:
                _write(settings, work)
    except tuple(STATUSES) as error:
        print(f"caption: {error}", file=sys.stderr)
        sys.exit(STATUSES[type(error)])


def _write(settings: Settings, work: Captions) -> None:
    aspects = aspects_of(column_names(paths.samples(settings.dataset)))
    always: dict[str, Any] = {"teacher": settings.teachers[settings.teacher].kind}
    if work.saw_mos is not None:
        always["saw_mos"] = work.saw_mos
    columns = dict.fromkeys(("image_id", *aspects), str) | {name: type(value) for name, value in always.items()}
    tested = _tested(settings)
    ends: Counter[str | None] = Counter()  # images by why they are not described, None where they are
    repeating = 0  # explanations
    with row_writer(paths.captions(settings.dataset), columns) as write:
        for image in work.images:
            ends[image.failure] += 1
            repeating += len(image.repeating) if image.explanations else 0
            if image.explanations:
                said = {
                    aspect: None if image.image_id in tested.get(aspect, ()) else text
                    for aspect, text in image.explanations.items()
                }
                write({"image_id": image.image_id, **said, **always})
        described = ends[None]
        failures = Counter({reason: count for reason, count in ends.items() if reason is not None})
        write_json(paths.RESULTS / "caption.json", _summary(settings, work, described, failures, repeating))
        _check(described, failures, settings.caption.max_failed)


def _tested(settings: Settings) -> dict[str, set[str]]:
    """For each aspect that has a split of its own: the images that are tested on it."""
    splits = read_table(paths.splits(settings.dataset))
    own = {aspect: split_column(splits, aspect) for aspect in ASPECTS}
    return {
        aspect: set(splits.loc[splits[column] == "test", "image_id"])
        for aspect, column in own.items()
        if column != "split"
    }


def _summary(
    settings: Settings, work: Captions, described: int, failures: Counter[str], repeating: int
) -> dict[str, object]:
    """The same for every teacher; one that is free spent nothing."""
    totals, prices = work.totals, work.prices
    return {
        "dataset": settings.dataset,
        "teacher": settings.teacher,
        "images": described + failures.total(),
        "described": described,
        "failed": failures.total(),
        "failures": dict(sorted(failures.items())),
        "explanations_that_repeat_the_score": repeating,
        "requests": totals.requests,
        "answers": totals.answers,
        "tokens": totals.usage.as_dict(),
        "usd": round(totals.usd(prices), 4),
        "lost_requests": totals.lost,
        "usd_lost_at_most": round(work.usd_lost_at_most, 4),
        "prices_of": str(prices.date) if prices else None,
        "answered_by": dict(sorted(totals.versions.items())),
    }


def _check(described: int, failures: Counter[str], max_failed: float) -> None:
    failed, images = failures.total(), described + failures.total()
    if failed > max_failed * images:
        raise InputError(
            f"{failed} of {images} images have no description, more than caption.max_failed ({max_failed}) allows: "
            + ", ".join(f"{count} × {reason}" for reason, count in failures.most_common())
        )


def _images(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number of images, at least 1")
    return int(text)


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m stages.caption", description="Have the images described.")
    first = parser.add_mutually_exclusive_group()
    first.add_argument("--dry-run", action="store_true", help="say what it would take, and ask nothing")
    first.add_argument(
        "--probe",
        type=_images,
        default=0,
        metavar="N",
        help="have N images answered, and say what the others would take",
    )
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
