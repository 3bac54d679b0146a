"""What DVC keeps of the experiments of this repository: how each ended, its params, and what it wrote.

`dvc exp show` lists the experiments made from the current commit alone, so that one commit later they are gone from
its table, though nothing was deleted. Git knows of all: DVC hangs each below refs/exps, under the commit that it was
made from, and those that are queued or have failed in two lists beside them.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any, NamedTuple

import pandas as pd

from m3agiqa.errors import InputError
from pipeline.paths import EVALUATION, RESULTS
from pipeline.settings import PARAMS

MADE = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(.+)")  # the commit that it was made from, its name
STASHED = re.compile(r"dvc-exp:[0-9a-f]+:([0-9a-f]{40}):(.*)")  # the same, of one that is queued or has failed
STASHES = ("refs/exps/celery/stash", "refs/exps/celery/failed")
PREDICTED = {"image_id": str, "generator": str, "prompt": str, "mos": float, "predicted": float}

Params = dict[str, Any]


class Experiment(NamedTuple):
    """One experiment, or a commit, which counts as one."""

    name: str
    commit: str
    made_from: str  # the commit; its own of a commit
    state: str  # what the queue says: success, failed, queued, running; "" where it was not asked
    params: Params


class Listed(NamedTuple):
    """The experiments, newest first, and the names of those made from commits that were not looked at."""

    experiments: list[Experiment]
    elsewhere: list[str]


def listed(commits: int | None) -> Listed:
    """The last `commits` commits and what was made from them (-1: from all); None: the last, and every experiment.

    Raises:
        InputError: no repository of Git and DVC, or one without a commit.
    """
    recent = _output("git", "rev-list", "--first-parent", f"--max-count={1 if commits is None else commits}", "HEAD")
    made = _made()
    others = [commit for commit in made if commit not in recent]
    if others:
        others = _output("git", "rev-list", "--no-walk=sorted", *others)
    asked = [*recent, *(others if commits is None else [])]
    revisions = [part for commit in asked for part in ("--rev", commit)]
    shown = json.loads("\n".join(_output(sys.executable, "-m", "dvc", "exp", "show", "--json", *revisions)))
    elsewhere = [name for commit in others if commit not in asked for name in made[commit]]
    return Listed(list(_experiments(shown, set(recent))), elsewhere)


def evaluation(commit: str) -> dict[str, Any]:
    """results/evaluation.json as a commit has it, from DVC's cache; nothing where there is none."""
    text = _read(EVALUATION.as_posix(), commit)
    return {} if text is None else dict(json.loads(text))


def predictions(commit: str) -> pd.DataFrame | None:
    """results/predictions.csv, likewise: a row a test image with the columns PREDICTED."""
    text = _read((RESULTS / "predictions.csv").as_posix(), commit)
    return (
        None
        if text is None
        else pd.read_csv(StringIO(text), dtype=PREDICTED, usecols=[*PREDICTED], keep_default_na=False)
    )


def _read(path: str, commit: str) -> str | None:
    from dvc import api, exceptions  # noqa: PLC0415 (seconds)

    try:
        return str(api.read(path, rev=commit))
    except (FileNotFoundError, exceptions.DvcException):
        return None


def _made() -> dict[str, list[str]]:
    """The commits that experiments were made from, each with the experiments' names."""
    found: dict[str, list[str]] = {}
    refs = _output("git", "for-each-ref", "--format=%(refname)", "refs/exps")
    for match in filter(None, map(MADE.fullmatch, refs)):
        found.setdefault(match[1] + match[2], []).append(match[3])
    for stash in set(STASHES) & set(refs):
        subjects = _output("git", "log", "--walk-reflogs", "--format=%gs", stash)
        for match in filter(None, map(STASHED.search, subjects)):
            found.setdefault(match[1], []).append(match[2])
    return found


def _experiments(shown: list[dict[str, Any]], recent: set[str]) -> Iterator[Experiment]:
    """Every recent commit and every experiment of what `dvc exp show` says; the working folder is neither."""
    for commit in shown:
        made_from = commit["rev"]
        if made_from in recent:
            yield _experiment(commit, made_from, "")
        for experiment in commit.get("experiments") or []:
            state = (experiment.get("executor") or {}).get("state") or ""
            for revision in experiment["revs"] or []:
                yield _experiment(revision, made_from, state)


def _experiment(revision: dict[str, Any], made_from: str, state: str) -> Experiment:
    params = ((revision.get("data") or {}).get("params") or {}).get(str(PARAMS)) or {}
    name = revision["name"] or revision["rev"][:7]
    return Experiment(name, revision["rev"], made_from, state, params.get("data") or {})


def _output(*command: str) -> list[str]:
    """The lines that a command prints."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        name = " ".join(command[2:5] if command[0] == sys.executable else command[:2])
        raise InputError(f"{name} failed: {' '.join(ran.stderr.split())}")
    return ran.stdout.splitlines()
