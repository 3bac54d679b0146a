"""The caption stage, run in this process: what it wrote, how it ended."""

import json
from functools import partial

import pytest

from analyzers.terms import Options
from data.tables.frames import read_table
from pipeline import paths
from pipeline.settings import load
from pipeline.stage import stage
from stages import caption

IMAGES = 16
OF = 3  # shards
SPLIT = ["train", "train", "val", "test"] * (IMAGES // 4)


def run(**options):
    caption.main(load(), Options(**options))


def captions():
    return read_table(paths.captions("folder"))


def totals():
    return json.loads((paths.RESULTS / "caption.json").read_text())


def ends(capsys, **options):
    """The exit status of the stage and what it said last."""
    with pytest.raises(SystemExit) as stopped:
        stage(partial(caption.main, options=Options(**options)))
    return stopped.value.code, capsys.readouterr().err.splitlines()[-1]
