"""predict: score images of your own with the trained pipeline, as the pipeline scores its own.

Not a stage of the DAG: it reads what the stages trained, in this workspace or in a bundle, and writes no out. Batches
are journalled as they are scored, so that a cut run goes on where it was, and ends in the same bytes.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from transformers import logging

from data import feature_batch, images
from data.errors import InputError
from data.files import fingerprint, sha256
from data.journal import Journal
from data.tables import ASPECTS
from finetune import heads
from scoring import familiar, gallery, instructions, scorer
from scoring.asked import Asked, from_csv, from_folder
from scoring.bundle import open_bundle
from scoring.scorer import Score, Scorer, batches
from stages.device import device
from stages.progress import progress
from stages.run import Scratch, stage
from stages.settings import Settings
from stages.trained import how_to_get, require, workspace_parts

SOME_FAILED = 1  # exit status
CODE = (feature_batch, images, heads, familiar, instructions, scorer)


def main(settings: Settings, arguments: argparse.Namespace) -> None:
    logging.disable_progress_bar()  # of loading the model: ours is about images
    asked = _asked(arguments)
    parts = open_bundle(arguments.bundle) if arguments.bundle else workspace_parts(settings.dataset)
    aspects = _aspects(arguments, list(parts), asked)
    if arguments.aspect:
        require(parts, arguments.aspect)
    options = {"device": device(settings), "batch": settings.runtime.batch}
    # A scorer for each aspect: one model in memory at a time.
    found = {aspect: _scores(Scorer({aspect: parts[aspect]}, **options), asked, aspect) for aspect in aspects}
    rows = [(image, [found[aspect][place] for aspect in aspects]) for place, image in enumerate(asked)]
    print(gallery.table(rows))
    gallery.write(rows, arguments.out)
    print(f"predict: scores.csv, scores.jsonl and gallery.html are in {arguments.out}", file=sys.stderr)
    failed = [(image.name, score) for image, scores in rows for score in scores if score.status.startswith("failed")]
    for name, score in failed:
        print(f"predict: {name}, {score.aspect}: {score.status}", file=sys.stderr)
    if failed:
        print(f"predict: {len(failed)} of {len(rows) * len(aspects)} scores are missing", file=sys.stderr)
        sys.exit(SOME_FAILED)


def _asked(arguments: argparse.Namespace) -> list[Asked]:
    if arguments.prompt is not None and not arguments.image:
        raise InputError("--prompt belongs to --image; with --csv, prompts are a column")
    if arguments.csv:
        return from_csv(arguments.csv)
    if arguments.folder:
        return from_folder(arguments.folder)
    return [Asked(str(arguments.image), arguments.image, arguments.prompt or "")]


def _aspects(arguments: argparse.Namespace, here: list[str], asked: Sequence[Asked]) -> list[str]:
    """The aspect asked for, or all that are here."""
    if arguments.aspect == "correspondence" and (silent := [image.name for image in asked if not image.prompt.strip()]):
        raise InputError(f"correspondence needs a prompt to correspond to, and {silent[0]} has none")
    if arguments.aspect:
        return [arguments.aspect]
    if not here:
        raise InputError("nothing is trained here yet: run dvc repro, or name a --bundle")
    if not arguments.bundle:
        for aspect in ASPECTS:
            if aspect not in here:
                print(
                    f"predict: {aspect} is left out, it is not in this workspace: {how_to_get(aspect)}", file=sys.stderr
                )
    return here


def _scores(tool: Scorer, asked: Sequence[Asked], aspect: str) -> list[Score]:
    """The scores in the order of `asked`. The same images, prompts and parts are the same work, found again."""
    prompts = [image.prompt for image in asked]
    job = fingerprint([[str(image.path), image.prompt] for image in asked])
    made_of = [job, tool.card(aspect).model_dump_json(), tool.device, tool.batch]
    found: dict[int, Score] = {}
    with (
        Scratch(f"predict/{aspect}", made_of, code=CODE) as scratch,
        Journal(scratch.path / "journal.jsonl") as journal,
    ):
        scored = {record["key"]: number for number, record in enumerate(journal)}
        work = batches(prompts, tool.batch)
        for places in progress(work, total=len(work), desc=aspect, unit="batches"):
            paths = [asked[place].path for place in places]
            texts = [prompts[place] for place in places]
            key = fingerprint([[str(path), _sha256(path), text] for path, text in zip(paths, texts, strict=True)])
            if key not in scored:
                scores = tool.score_batch(paths, texts, aspect=aspect)
                scored[key] = journal.append({"key": key, "scores": [asdict(score) for score in scores]})
            found.update(zip(places, map(_score, journal[scored[key]]["scores"]), strict=True))
    return [found[place] for place in range(len(asked))]


def _sha256(path: Path) -> str | None:
    return sha256(path) if path.is_file() else None


def _score(record: dict) -> Score:
    """As it was before JSON, which knows no tuples."""
    return Score(**{key: tuple(value) if isinstance(value, list) else value for key, value in record.items()})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stages.predict", description="Score images of your own.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--image", type=Path, metavar="FILE", help="one image")
    source.add_argument("--csv", type=Path, metavar="FILE", help="a table with the columns image and prompt")
    source.add_argument("--folder", type=Path, metavar="DIR", help="all images of a folder, without prompts")
    parser.add_argument("--prompt", metavar="TEXT", help="what the --image was generated from")
    parser.add_argument("--aspect", choices=ASPECTS, help="only this one; otherwise all that are trained")
    parser.add_argument("--bundle", metavar="PATH", help="a bundle, or hf://owner/name@revision; else this workspace")
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("predictions"), help="default: predictions")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    stage(partial(main, arguments=arguments))
