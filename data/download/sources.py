"""Where a data set comes from, and how it gets here.

| source                                   | what it is                                                       |
|------------------------------------------|------------------------------------------------------------------|
| hf://owner/name@<commit>                 | a data set of the Hugging Face hub (HF_ENDPOINT, HF_TOKEN count) |
| https://…/set.zip#sha256=<64 hex digits> | a file on the web                                                |
| a path, with or without #sha256=…        | a folder, an archive or a file that you have                     |

Archives, also those inside a folder, a hub data set or another archive, are unpacked (data/download/archives.py).
Without its pin, a source on the net is refused, and the line says which pin it has now: what a result depends on must
not change by itself. All that is fetched or unpacked lies in one scratch folder, which outlives a kill
(data/download/transfer.py).
"""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx2
from huggingface_hub import HfApi, RepoFile, hf_hub_url
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers

from data.download.archives import Bar, is_archive, no_bar, safe_path, unpack
from data.download.local_files import PIN, files_below, is_local, local_path
from data.download.transfer import Remote, download, reason
from m3agiqa.errors import InputError
from m3agiqa.files import read_json, sha256, write_json

NESTED = 2  # archives in archives
HUB = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([0-9a-f]{40}))?")


def fetch(sources: Sequence[str], scratch: Path, *, bar: Bar = no_bar) -> list[Path]:
    """Bring every source; returns the folders and files in which the data set lies. What is yours stays as it is.

    Raises:
        InputError: no such source, not pinned, not what the pin says, or not to be had now.
    """
    roots: list[Path] = []
    for source in sources:
        if source.startswith("hf://"):
            root = _from_hub(source, scratch / "hub", bar)
        elif is_local(source):
            root = _from_here(source)
        else:
            root = _from_web(source, scratch / "web", bar)
        roots += _opened(root, scratch / "unpacked", bar)
    return roots


def address(source: str) -> str:
    """The source without the hash of a file, which may be added when the file is here already."""
    return source.partition(PIN)[0]


def _opened(root: Path, into: Path, bar: Bar, depth: int = 0) -> list[Path]:
    """`root`, and what was in its archives."""
    roots = [root]
    for archive in filter(is_archive, list(files_below(root))):
        if depth == NESTED:
            raise InputError(f"{archive}: an archive in an archive in an archive; unpack it yourself")
        folder = into / sha256(archive)[:16]
        if not folder.exists():
            unpack(archive, folder, bar=bar)
        roots += _opened(folder, into, bar, depth + 1)
    return roots


def _from_here(source: str) -> Path:
    path, pin = local_path(source), source.partition(PIN)[2]
    if pin and (path.is_dir() or (found := sha256(path)) != pin):
        raise InputError(f"{path}: {'a folder' if path.is_dir() else f'sha256 {found}'}, expected a file with {pin}")
    return path


def _from_web(source: str, scratch: Path, bar: Bar) -> Path:
    url, _, pin = source.partition(PIN)
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    if not name or (pin and not re.fullmatch("[0-9a-f]{64}", pin)):
        raise InputError(f"{source}: expected the address of a file{PIN}<64 hex digits>")
    folder = scratch / hashlib.sha256(url.encode()).hexdigest()[:16]
    remote = Remote(url, folder / safe_path(name, url), sha256=pin or None)
    download([remote], name, bar)
    if not pin:
        found = sha256(remote.path)
        raise InputError(f"{url}: not pinned; it is here now, and if it is what you want, write {url}{PIN}{found}")
    return remote.path


def _from_hub(source: str, scratch: Path, bar: Bar) -> Path:
    match = HUB.fullmatch(source)
    if not match:
        raise InputError(f"{source}: expected hf://owner/name@<40 hex digits of a commit>")
    name, commit = match.groups()
    endpoint = os.environ.get("HF_ENDPOINT") or None
    folder = scratch / f"{name.replace('/', '--')}-{commit}"
    listing = folder.with_name(f"{folder.name}.json")
    try:
        api = HfApi(endpoint=endpoint)
        if not commit:
            latest = api.dataset_info(name).sha
            raise InputError(f"{source}: not pinned; its latest commit is now {latest}, so write {source}@{latest}")
        if not listing.exists():
            tree = api.list_repo_tree(name, repo_type="dataset", revision=commit, recursive=True)
            write_json(listing, [_entry(file) for file in tree if isinstance(file, RepoFile)])
    except (httpx2.HTTPError, OfflineModeIsEnabled, HFValidationError) as error:
        answered = getattr(error, "response", None) is not None
        hint = "; a private or gated data set needs HF_TOKEN" if answered else ""
        raise InputError(f"{source}: {reason(error)}{hint}") from None
    remotes = [
        Remote(
            hf_hub_url(name, entry["path"], repo_type="dataset", revision=commit, endpoint=endpoint),
            folder / safe_path(entry["path"], source),
            headers=build_hf_headers(),
            **entry["content"],
        )
        for entry in read_json(listing)
    ]
    download(remotes, name, bar)
    return folder


def _entry(file: RepoFile) -> dict[str, Any]:
    """What the hub vouches for: the SHA-256 of a large file, git's own hash of another."""
    content = {"sha256": file.lfs.sha256} if file.lfs else {"git_sha1": file.blob_id}
    return {"path": file.path, "content": {"size": file.lfs.size if file.lfs else file.size, **content}}
