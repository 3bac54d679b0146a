"""Processes of a test's own, as forks of one that has imported the library already: torch alone takes seconds.

`context()` is multiprocessing's "forkserver". Its one server belongs to this process and imports before it first forks,
so that whoever asks names the modules of all.
"""

from multiprocessing import get_context
from multiprocessing.context import ForkServerContext

MODULES = ["tests.caption_project", "stages.caption", "analyzers.gemini.google_generativeai", "m3agiqa.workers"]


def context() -> ForkServerContext:
    made = get_context("forkserver")
    made.set_forkserver_preload(MODULES)
    return made
