"""Finished work that is safe elsewhere: DVC has the out in its cache once a later stage reads it.

Until then the parts in .cache/ are what a kill leaves. After that they are one more copy of the largest out there is.
"""

import shutil
from typing import Any

from m3agiqa.files import if_free
from m3agiqa.scratch import lock_of
from pipeline.unfinished import unfinished


def put_away(stage: str, inputs: Any) -> None:
    """Remove the stage's work on `inputs`, unless a run is at it."""
    folder = unfinished(stage, inputs).path
    if folder.exists():
        with if_free(lock_of(folder)) as free:
            if free:
                shutil.rmtree(folder)
