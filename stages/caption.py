"""caption: the teacher describes the train and val images, every aspect of the data set at once.

Test images never reach the teacher: what it says is what the student learns from. Where each aspect has a test list of
its own, an image that is tested on one aspect is described for the others, and what was said of that one is left out.
An image that the teacher does not describe has no row, so that nothing is distilled from it; results/caption.json
counts those by reason, and the stage fails where they are more than `caption.max_failed` of all. It also counts the
explanations that repeat the score although the teacher was asked again, and says how much the texts on each aspect tell
of the MOS (evaluation/captions.py).
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from analyzers.budget import BudgetSpent
from analyzers.captions import Captions
from analyzers.joining import NAME, join
from analyzers.journalled import ask_shard, estimate
from analyzers.kept import said_so_far, saw_scores
from analyzers.patience import Unavailable
from analyzers.shards import Shard
from analyzers.teacher import DailyQuota
from analyzers.teachers import FREE, captions
from analyzers.terms import Options
from analyzers.work import kept
from data.tables.frames import aspects_of, column_names, read_table, split_column
from data.tables.rows import row_writer
from m3agiqa.aspects import ASPECTS
from m3agiqa.errors import InputError
from m3agiqa.files import write_json
from pipeline import paths
from pipeline.ranks import is_first
from pipeline.settings import Settings
from pipeline.stage import stage

# Exit statuses: sysexits' EX_TEMPFAIL, EX_UNAVAILABLE and EX_NOPERM
STATUSES: dict[type[Exception], int] = {DailyQuota: 75, Unavailable: 69, BudgetSpent: 77}


def main(settings: Settings, options: Options = Options()) -> None:  # noqa: B008 (frozen)
    kind = settings.teachers[settings.teacher].kind
    if kind in FREE and (options.shard or options.join):
        raise InputError(f"teacher {kind} is free: there is nothing to share out between machines")
    if not is_first():
        _help(settings, options)
        return
    try:
        if options.join:
            print(f"caption: {join(kept(settings, NAME), options.join)}")
        elif options.dry_run or options.probe:
            print(f"teacher {kind} is free" if kind in FREE else estimate(settings, options))
        elif options.shard:
            print(f"caption: {ask_shard(settings, options)}")
        else:
            with captions(settings, options) as work:
                _write(settings, work)
    except tuple(STATUSES) as error:
        print(f"caption: {error}", file=sys.stderr)
        sys.exit(STATUSES[type(error)])


def in_processes(settings: Settings) -> bool:
    """Whether the teacher runs on each GPU of `runtime.launcher`."""
    return settings.teachers[settings.teacher].kind == "mllm"


def _help(settings: Settings, options: Options) -> None:
    """What of several processes all others do than the first."""
    if in_processes(settings) and not options.join:
        from analyzers.rounds import rounds  # noqa: PLC0415 (torch takes seconds)

        rounds(settings).help()


def compare(settings: Settings, other: str) -> None:
    """Print how far the teacher and another one agree, by what both have said so far."""
    from evaluation.two_teachers import compared  # noqa: PLC0415 (scikit-learn)
    from report.two_teachers import nothing_in_common, told  # noqa: PLC0415

    if other not in settings.teachers or other == settings.teacher:
        others = ", ".join(name for name in settings.teachers if name != settings.teacher)
        raise InputError(f"--compare is {other!r}, expected another teacher of params.yaml than the one set: {others}")
    if not is_first():
        return
    first, second = said_so_far(settings, settings.teacher), said_so_far(settings, other)
    if found := compared(settings.dataset, first.texts, second.texts):
        print(told({said.teacher: said.saw_scores for said in (first, second)}, found))
    else:
        print(nothing_in_common({said.teacher: len(said.texts) for said in (first, second)}))


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
        summary = _summary(settings, work, described, failures, repeating)
        write_json(paths.RESULTS / "caption.json", summary)
        _check(described, failures, settings.caption.max_failed)
    from evaluation.captions import measured  # noqa: PLC0415 (scikit-learn, which no question waits for)

    write_json(paths.RESULTS / "caption.json", summary | {"aspects": measured(settings.dataset)})


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
        "saw_scores": saw_scores(settings, work),
        "images": described + failures.total(),
        "described": described,
        "failed": failures.total(),
        "failures": dict(sorted(failures.items())),
        "explanations_refused": dict(sorted(totals.refused.items())),
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


def _shard(text: str) -> Shard:
    try:
        return Shard.named(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _images(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number of images, at least 1")
    return int(text)


def _asked_for() -> tuple[Callable[[Settings], None], bool]:
    """What the command line asks for, and whether that asks a teacher."""
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
    first.add_argument(
        "--compare", metavar="TEACHER", help="say how far another teacher agrees, by what both have said so far"
    )
    first.add_argument(
        "--join",
        type=Path,
        nargs="+",
        default=(),
        metavar="PATH",
        help="take over the answers of other machines: their journals, or their folders .cache/caption",
    )
    parser.add_argument(
        "--shard",
        type=_shard,
        metavar="K/N",
        help="ask about the K-th of N equal parts of the images, and write the journal alone",
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
    options = vars(parser.parse_args())
    other = options.pop("compare")
    if other is not None:
        return partial(compare, other=other), False
    if options["join"] and options["shard"]:
        parser.error("--join takes whole journals: leave --shard out")
    asks = not (options["dry_run"] or options["join"])
    return partial(main, options=Options(**options)), asks


if __name__ == "__main__":
    asked_for, asks = _asked_for()
    stage(asked_for, parallel=lambda settings: asks and in_processes(settings))
