"""Files of a data set on the Hugging Face hub, named as its own tools and pandas name them, at a commit:

    hf://datasets/owner/name@<commit>/data/test-*.parquet

A tag or a branch may move, and with it the scores. `*` stands for anything, folders included. The files come into
huggingface_hub's own cache, and HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE count, as everywhere.
"""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from m3agiqa.errors import InputError
from m3agiqa.given import brief

HUB = "hf://"
ADDRESS = re.compile(rf"{HUB}(?:datasets/)?([\w.-]+/[\w.-]+)(?:@([^/]*))?(?:/(.*))?")
COMMIT = re.compile(r"[0-9a-f]{40}")
SHAPE = f"{HUB}datasets/owner/name@<40 hex digits of a commit>/data/test-*.parquet"
# ValueError: of a name that the hub's client refuses, of a data set or of a file that leads outside.
ERRORS = (HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError, ValueError)


def on_hub(address: str) -> bool:
    """Whether it is one of the hub's, and not a path."""
    return address.startswith(HUB)


def hub_files(address: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The files that `address` names, by name: each one's own address, and where it lies now.

    Args:
        address: as above.
        suffixes: how the names of files end that could be meant: for what an error proposes.

    Raises:
        InputError: no such address, no commit in it, no such files, or a hub that cannot give them.
    """
    if not (match := ADDRESS.fullmatch(address)):
        raise InputError(f"{address}: expected {SHAPE}")
    name, revision, pattern = match.groups()
    try:
        if not COMMIT.fullmatch(revision or ""):
            _refuse_unpinned(address, name, revision, pattern)
        found = _matching(address, name, revision, pattern or "", suffixes)
        place = f"{HUB}datasets/{name}@{revision}"
        return {
            f"{place}/{file}": Path(hf_hub_download(name, file, revision=revision, repo_type="dataset"))
            for file in found
        }
    except InputError:
        raise
    except ERRORS as error:
        raise InputError(f"{address}: the hub cannot give it ({' '.join(str(error).split())})") from None


def _refuse_unpinned(address: str, name: str, revision: str | None, pattern: str | None) -> NoReturn:
    commit = HfApi().dataset_info(name, revision=revision or None).sha
    now = f"{revision or 'the latest commit'} is now {commit}"
    raise InputError(f"{address}: not pinned; {now}, so write {HUB}datasets/{name}@{commit}/{pattern or '…'}")


def _matching(address: str, name: str, commit: str, pattern: str, suffixes: tuple[str, ...]) -> list[str]:
    """The files' names. One that is given as it is needs no listing: it may be in the cache, without a network."""
    if pattern and not set("*?[") & set(pattern):
        return [pattern]
    files = sorted(HfApi().list_repo_files(name, revision=commit, repo_type="dataset"))
    if found := [file for file in files if fnmatchcase(file, pattern)]:
        return found
    there = brief(", ".join(file for file in files if file.lower().endswith(suffixes))) or "none"
    raise InputError(f"{address}: names no file; there are, of {', '.join(suffixes)}: {there}")
