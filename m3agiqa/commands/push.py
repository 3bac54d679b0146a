"""push: share a bundle on the Hugging Face hub, and say the address that scores with it for good.

huggingface_hub talks to the hub: HF_TOKEN or its own login says who asks, HF_ENDPOINT where. The files that the hub
does not have go up first, and one commit that names them all is last: a run that is cut leaves no half bundle, and the
next one sends no large file again that had arrived.
"""

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoFile, get_token
from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from m3agiqa.bundle import CHECKSUMS, HUB, README, alone_at, open_bundle
from m3agiqa.errors import InputError
from m3agiqa.files import sha256
from m3agiqa.given import brief
from m3agiqa.mllm.loading import FILES

NAME = re.compile(r"[\w.-]+/[\w.-]+")
FETCHED = (*FILES, README)  # what opening a bundle of the hub's brings here
# RuntimeError: how a file's failed upload comes; ValueError: metadata, names and answers that will not do.
ERRORS = (HTTPError, OfflineModeIsEnabled, RuntimeError, ValueError)
LOG_IN = "`hf auth login`, or a token in HF_TOKEN"
WHY = {
    401: f"it does not know this token: {LOG_IN}",
    403: "this token may not write there: it wants the permission to write, and an owner that is you or yours",
    404: "nothing is there that this token may see",
    409: "something else changes there: run it again",
    412: "something else was put there meanwhile: run it again",
    429: "too many requests: wait some minutes, and run it again",
}


class Remote(NamedTuple):
    """A repository as it is now."""

    commit: str
    private: bool
    files: dict[str, RepoFile]  # less those that a hub keeps for itself, whose names begin with a dot


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder that bundle packed")
    parser.add_argument("name", metavar="OWNER/NAME", help="the repository on the hub; made if it is not there")
    parser.add_argument("--private", action="store_true", help="make it for you alone; one that is public is refused")


def run(arguments: argparse.Namespace) -> None:
    folder, name = arguments.bundle, arguments.name
    if not NAME.fullmatch(name):
        raise InputError(f"{name}: expected the name of a repository, owner/name")
    with _left_alone(folder):
        aspects = ", ".join(open_bundle(folder))
        with _told(name):
            validate_repo_id(name)
            token = get_token()
            if not token:
                raise InputError(f"{name}: the hub must know who you are: {LOG_IN}")
            api = HfApi(token=token, library_name="m3agiqa")
            commit, sent = _push(api, folder, name, f"m3agiqa push: {aspects}", private=arguments.private)
    address = f"{HUB}{name}@{commit}"
    what = f"{sent} files sent" if sent else "the same bundle was there already, and nothing was sent"
    print(f"push: {aspects}; {what}; score with m3agiqa predict --bundle {address}", file=sys.stderr)
    print(address)


def _left_alone(folder: Path) -> AbstractContextManager[None]:
    """No other run packs the bundle anew meanwhile: what goes up would be half of each."""
    place = folder.absolute()
    return alone_at(place) if place.is_dir() and os.access(place.parent, os.W_OK) else nullcontext()


def _push(api: HfApi, folder: Path, name: str, message: str, *, private: bool) -> tuple[str, int]:
    """The commit that holds the bundle, and how many files were sent for it."""
    remote = _remote(api, name)
    if remote is None:
        api.create_repo(name, private=private or None, exist_ok=True)  # None: as the owner has it
        remote = _remote(api, name)
    if remote is None:
        raise InputError(f"{name}: made, and not to be seen yet: run it again")
    if private and not remote.private:
        raise InputError(f"{name} is public: make it private on its page, or take another name")
    added, removed = _changes(folder, name, remote)
    if not added and not removed:
        return remote.commit, 0
    if removed:
        print(f"push: takes out of {name} what is not of the bundle: {', '.join(removed)}", file=sys.stderr)
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationDelete(file) for file in removed),
        *(CommitOperationAdd(file, folder / file) for file in added),
    ]
    # On what was looked at, and on nothing else: two runs at once would make one bundle of two.
    made = api.create_commit(name, operations, commit_message=message, parent_commit=remote.commit)
    return made.oid, len(added)


def _remote(api: HfApi, name: str) -> Remote | None:
    """None: not there, as far as the token may know."""
    try:
        info = api.model_info(name)
    except RepositoryNotFoundError:
        return None
    tree = api.list_repo_tree(name, revision=info.sha, recursive=True)
    files = {file.path: file for file in tree if isinstance(file, RepoFile) and not _hidden(file.path)}
    return Remote(str(info.sha), bool(info.private), files)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _changes(folder: Path, name: str, remote: Remote) -> tuple[list[str], list[str]]:
    """The bundle's files that are to be sent, and those in the repository with which a bundle would not open.

    Raises:
        InputError: the repository holds a model of another kind, which is not ours to remove.
    """
    digests = json.loads((folder / CHECKSUMS).read_text(encoding="utf-8"))["sha256"]
    digests[CHECKSUMS] = sha256(folder / CHECKSUMS)
    added = [file for file, digest in digests.items() if not _is(remote.files.get(file), folder / file, digest)]
    odd = [file for file in remote.files if file not in digests and any(fnmatch(file, kind) for kind in FETCHED)]
    if odd and CHECKSUMS not in remote.files:
        raise InputError(f"{name} holds something else than a bundle ({brief(', '.join(odd))}): take another name")
    return added, odd


def _is(there: RepoFile | None, path: Path, digest: str) -> bool:
    """Whether the hub's file is the one at `path`: large ones it names by their SHA-256, others as git does."""
    if there is None or there.size != path.stat().st_size:
        return False
    if there.lfs is not None:
        return there.lfs.sha256 == digest
    content = path.read_bytes()
    git = hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False)
    return there.blob_id == git.hexdigest()


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn what goes wrong with the hub into one line, without the token."""
    try:
        yield
    except InputError:
        raise
    except ERRORS as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        raise InputError(f"{name}: {_without_token(_reason(cause))}") from None


def _reason(error: BaseException) -> str:
    response = getattr(error, "response", None)
    if response is None:
        return f"the hub is not to be had ({' '.join(str(error).split()) or type(error).__name__})"
    status = response.status_code
    said = brief(" ".join(str(getattr(error, "server_message", None) or "").split()))
    why = "; ".join(filter(None, [WHY.get(status, ""), f"it says: {said}" if said else ""]))
    return f"the hub answers {status}" + (f" ({why})" if why else "")


def _without_token(text: str) -> str:
    """A header that is refused is quoted in the error, and a server may say anything."""
    shown = re.sub(r"(?i)(bearer\s+)[^\s'\"]+", r"\1…", text)
    return shown.replace(token, "…") if (token := get_token()) else shown
