"""caption: the teacher describes the train and val images, every aspect of the data set at once.

Test images never reach the teacher: what it says is what the student learns from. An image that the teacher does not
describe has no row, so that nothing is distilled from it; results/caption.json counts those by reason, and the stage
fails where they are more than `caption.max_failed` of all.
"""

import argparse
import sys
from functools import partial

from analyzers.asking import Unavailable
from analyzers.teacher import DailyQuota
from data.errors import InputError
from data.files import write_json
from data.tables import joined, read_table, write_table
from stages import paths
from stages.run import stage
from stages.settings import Settings
from stages.teachers import Options, describe, estimate

QUOTA, UNAVAILABLE = 75, 69  # exit statuses: sysexits' EX_TEMPFAIL and EX_UNAVAILABLE


def main(settings: Settings, options: Options = Options()) -> None:  # noqa: B008 (frozen)
    dataset = settings.dataset
    samples = joined(read_table(paths.samples(dataset)), read_table(paths.splits(dataset)))
    seen = samples[samples["split"] != "test"]
    if options.dry_run:
        print(estimate(settings, seen, options))
        return
    try:
        described = describe(settings, seen, options)
    except (DailyQuota, Unavailable) as error:
        print(f"caption: {error}", file=sys.stderr)
        sys.exit(QUOTA if isinstance(error, DailyQuota) else UNAVAILABLE)

    write_json(paths.RESULTS / "caption.json", {"dataset": dataset, "teacher": settings.teacher, **described.summary()})
    if len(described.failures) > settings.caption.max_failed * len(seen):
        raise InputError(
            f"{len(described.failures)} of {len(seen)} images have no description, more than caption.max_failed "
            f"({settings.caption.max_failed}) allows: {described.reasons()}"
        )
    write_table(described.captions, paths.captions(dataset))


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m stages.caption", description="Have the images described.")
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and ask nothing")
    parser.add_argument("--retry-blocked", action="store_true", help="ask again about images that failed")
    parser.add_argument("--refresh", action="store_true", help="ask again about every image, and pay again")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    stage(partial(main, options=_options()))
