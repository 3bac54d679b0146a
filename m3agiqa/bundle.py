"""A bundle: one folder with what scores an image, but for a base model that is at hand by its name in the cards.

    README.md        the model card, for people
    <aspect>/        card.json, head/, fast_head/, and adapter/ where there is one
    mllm/<name>/     the base model, unless it is on the hub or ships with m3agiqa
    checksums.json   SHA-256 of every other file

Weights are safetensors and everything else that is read is JSON: opening a bundle runs no code of its maker's.
checksums.json must be, to the byte, what its folder's files give, so that no byte anywhere can change unseen. (That
finds damage and edits, not forgery: who can write the bundle can write its checksums. Take bundles from a place that
you trust. A hub's are named by their commit: a tag or a branch may move.)
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from m3agiqa import shipped
from m3agiqa.aspects import ASPECTS
from m3agiqa.card import FORMAT, HEAD_FILES, Card, read_card
from m3agiqa.errors import InputError
from m3agiqa.files import folder_sha256, one_at_a_time, sha256, sync_folder, write_text
from m3agiqa.json_text import parse_json
from m3agiqa.mllm import adapters
from m3agiqa.mllm.loading import FILES
from m3agiqa.parts import Part

CHECKSUMS = "checksums.json"
README = "README.md"
HUB = "hf://"
PINNED = re.compile(rf"{HUB}([\w.-]+/[\w.-]+)@([0-9a-f]{{40}})")
HUB_ERRORS = (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError)


def open_bundle(place: Path | str) -> dict[str, Part]:
    """The parts of each aspect in a bundle, after every byte has been checked.

    Raises:
        InputError: no bundle, one of another version, one that changed, or a hub that cannot give it.
    """
    folder = _download(str(place)) if str(place).startswith(HUB) else Path(place)
    if not (folder / CHECKSUMS).is_file():
        cut = not folder.exists() and _replaced(folder).exists()
        how = "a run that packs it was cut, m3agiqa bundle puts it back" if cut else "m3agiqa bundle packs one"
        raise InputError(f"{place}: no bundle here ({CHECKSUMS} missing); {how}")
    _verify(folder, place)
    aspects = [aspect for aspect in ASPECTS if (folder / aspect).is_dir()]
    parts: dict[str, Part] = {}
    for aspect in aspects:
        card = read_card(folder / aspect / "card.json")
        if card.aspect != aspect:
            raise InputError(f"{place}: the folder {aspect} holds the card of another aspect")
        base = None if card.mllm.revision else _base(folder, Path(card.mllm.model).name, place)
        adapter, head, fast_head = (folder / aspect / name for name in ("adapter", "head", "fast_head"))
        parts[aspect] = Part(folder / aspect / "card.json", adapter, head, fast_head, base)
    if not parts:
        raise InputError(f"{place}: the bundle holds no aspect")
    return parts


def _base(folder: Path, name: str, place: Path | str) -> Path:
    """The base model that is a folder: the bundle's own, or the one that ships under its name."""
    base = own if (own := folder / "mllm" / name).is_dir() else shipped.model(name)
    if base is None:
        raise InputError(f"{place}: its model {name} is neither in it nor among those that ship with this m3agiqa")
    return base


@contextmanager
def alone_at(out: Path) -> Iterator[None]:
    """Hold the place of a bundle, to read what is there and pack it anew; another run waits, and says so."""
    with one_at_a_time(out.with_name(f".{out.name}.lock"), f"bundle: another run packs {out}; waiting for it to end"):
        _put_back(out)
        yield


def pack(parts: Mapping[str, Part], out: Path, readme: str) -> None:
    """Write a bundle of these parts to `out`, in place of what was there, in one step as far as a folder allows.

    That is two renames. A run that is killed between them leaves the old bundle beside, and the next puts it back.
    """
    _put_back(out)
    fresh, stale = out.with_name(f".{out.name}.partial"), _replaced(out)
    for aspect, part in parts.items():
        adapter = adapters.FILES if read_card(part.card).adapted else ()
        _copy(part.card.parent, (part.card.name,), fresh / aspect)
        (fresh / aspect / part.card.name).rename(fresh / aspect / "card.json")
        _copy(part.head, HEAD_FILES, fresh / aspect / "head")
        _copy(part.fast_head, HEAD_FILES, fresh / aspect / "fast_head")
        _copy(part.adapter, adapter, fresh / aspect / "adapter")
        if part.mllm is not None and not shipped.is_shipped(part.mllm):
            _copy_model(part.mllm, fresh / "mllm" / part.mllm.name)
    write_text(fresh / README, readme)
    write_text(fresh / CHECKSUMS, _checksums(fresh))
    if out.exists():
        os.replace(out, stale)
    os.replace(fresh, out)
    sync_folder(out.parent)
    _remove(stale, fresh)


def _replaced(out: Path) -> Path:
    """Where a bundle lies, whole, while another takes its place."""
    return out.with_name(f".{out.name}.old")


def _put_back(out: Path) -> None:
    """Undo what a killed run has half done: the old bundle returns, or goes where the new one is in place."""
    stale = _replaced(out)
    if stale.exists() and not out.exists():
        os.replace(stale, out)
        sync_folder(out.parent)
    _remove(stale, out.with_name(f".{out.name}.partial"))


def _remove(stale: Path, fresh: Path) -> None:
    """Under the name of what is unfinished: half a folder must not stand where a whole one is looked for."""
    shutil.rmtree(fresh, ignore_errors=True)
    if stale.exists():
        os.replace(stale, fresh)
        shutil.rmtree(fresh)


def cards(parts: Mapping[str, Part]) -> dict[str, Card]:
    """The card of each aspect."""
    return {aspect: read_card(part.card) for aspect, part in parts.items()}


def _copy(source: Path, names: tuple[str, ...], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(source / name, target / name)


def _copy_model(source: Path, target: Path) -> None:
    """Once for all aspects, which must mean the same one."""
    if target.exists():
        if folder_sha256(source, FILES) != folder_sha256(target, FILES):
            raise InputError(f"{source}: another model than the {source.name} of another aspect; train both on one")
        return
    names = {path.relative_to(source) for pattern in (*FILES, README) for path in source.rglob(pattern)}
    for name in sorted(names):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def _checksums(folder: Path) -> str:
    """What checksums.json must be. Names that begin with a dot are the file system's or the hub's, and never read."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    kept = [name for name in names if name != CHECKSUMS and not any(part.startswith(".") for part in name.split("/"))]
    listing = {"format": FORMAT, "sha256": {name: sha256(folder / name) for name in kept}}
    return json.dumps(listing, indent=2, ensure_ascii=False) + "\n"


def _verify(folder: Path, place: Path | str) -> None:
    given = (folder / CHECKSUMS).read_bytes()
    try:
        listing = parse_json(given)
        found, promised = listing["format"], dict(listing["sha256"])
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{place}: {CHECKSUMS} is damaged") from None
    if found != FORMAT:
        raise InputError(f"{place}: a bundle of format {found!r}; this version reads format {FORMAT}: pack it anew")
    expected = _checksums(folder)
    if given == expected.encode():
        return
    actual = json.loads(expected)["sha256"]
    odd = sorted(name for name in promised.keys() | actual.keys() if promised.get(name) != actual.get(name))
    name = odd[0] if odd else CHECKSUMS
    what = (
        "is missing" if name not in actual and odd else "does not belong" if name not in promised and odd else "changed"
    )
    raise InputError(f"{place}: {name} {what} since the bundle was packed")


def _download(place: str) -> Path:
    """The hub's snapshot in huggingface_hub's own cache; only what a bundle may hold is fetched."""
    pinned = PINNED.fullmatch(place)
    if not pinned:
        raise InputError(_how_to_pin(place))
    name, commit = pinned.groups()
    try:
        return Path(snapshot_download(name, revision=commit, allow_patterns=[*FILES, README]))
    except HUB_ERRORS as error:
        raise InputError(f"{place}: the hub cannot give it ({' '.join(str(error).split())})") from None


def _how_to_pin(place: str) -> str:
    """What is wrong with an address without a commit, and the right one if the hub tells."""
    wanted = f"{place}: expected hf://owner/name@<40 hex digits of a commit>"
    name, _, revision = place.removeprefix(HUB).partition("@")
    try:
        commit = Path(snapshot_download(name, revision=revision or None, allow_patterns=[CHECKSUMS])).name
    except HUB_ERRORS:
        return f"{wanted}; a repository's page on the hub lists its commits"
    return f"{wanted}; {revision or 'the latest'} is now {commit}, so write {HUB}{name}@{commit}"
