"""Samples in tars, as webdataset writes them: the files of a sample share a name up to its first dot.

| of a sample                | what it is                                                               |
|----------------------------|--------------------------------------------------------------------------|
| 0001.jpg, 0001.png, …      | the image                                                                |
| 0001.txt, or in 0001.json  | the prompt                                                               |
| all else in 0001.json      | columns, and so are other short texts, such as 0001.cls                  |
| left out, and named        | links, devices, sparse files, names that lead outside, pickles, all else |

Nothing is unpacked under a name that a tar gives: images go where `Unpacked` puts them, texts into memory. No pickle is
ever read. The files of a sample need not stand together; those of two tars are two samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from m3agiqa import image_list
from m3agiqa.errors import InputError
from m3agiqa.given import brief
from m3agiqa.image_list import ListedImage, as_json
from m3agiqa.json_text import read_object
from m3agiqa.tar_members import Member, members
from m3agiqa.unpacked import Unpacked

TEXTS = ("txt", "text", "caption", "cls", "id")  # extensions
PICKLES = ("pkl", "pickle", "pyd", "pt", "pth")
PROMPTS = ("prompt", "caption")  # what a sample's JSON may call it, where there is no .txt
MAX_TEXT = 16 << 20  # bytes


class TarImages(NamedTuple):
    """The images of tars, and what else is there, each with the reason why it is left out."""

    images: list[ListedImage]
    others: list[str]


class Name(NamedTuple):
    """A file's name in a tar: the sample's, folders included, and what kind of file it is, in small letters."""

    key: str
    extension: str


@dataclass
class Sample:
    """The files of a tar that share a key, by extension."""

    images: dict[str, tuple[str, Path]] = field(default_factory=dict)  # the name that it has there, where it is now
    texts: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] | None = None  # of its JSON


def from_tars(
    tars: Mapping[str, Path], unpacked: Unpacked, *, image: str | None = None, prompt: str | None = None
) -> TarImages:
    """The samples of tars in their order.

    Args:
        tars: where each is, by what it is called in names and errors.
        unpacked: where the images go.
        image: the extension of the image, where a sample has several.
        prompt: the key of the JSON, or the extension, with the prompt; without one, txt, or the key prompt or caption.

    Raises:
        InputError: naming the tar, the file in it, and what was expected.
    """
    images: list[ListedImage] = []
    others: list[str] = []
    for shown, path in tars.items():
        for key, sample in _samples(shown, path, unpacked, others).items():
            if sample.images:
                images.append(_listed(f"{shown}/{key}", sample, unpacked, image, prompt))
            else:
                others.append(f"{shown}/{key} (a sample without an image)")
    if not images:
        expected = f"expected files that end in {', '.join(image_list.SUFFIXES)}"
        raise InputError(f"{brief(', '.join(tars))}: no images here, {expected}")
    return TarImages(images, others)


def name_of(name: str) -> Name | None:
    """The two parts of a name; None where it has not both."""
    folder, _, file = name.removeprefix("./").rpartition("/")
    stem, _, extension = file.partition(".")
    if not stem or not extension:
        return None
    return Name(f"{folder}/{stem}" if folder else stem, extension.lower())


def _samples(shown: str, path: Path, unpacked: Unpacked, others: list[str]) -> dict[str, Sample]:
    """The samples of a tar by key; what is none of theirs goes to `others`."""
    samples: dict[str, Sample] = {}
    for member in members(path, shown):
        if _hidden(member.name):  # as in a folder: macOS' ._0001.jpg beside each 0001.jpg
            continue
        where, name = f"{shown}/{member.name}", name_of(member.name)
        why = member.odd or (None if name else "no extension")
        if name and not why:
            sample = samples.get(name.key) or Sample()
            why = _take(sample, name.extension, where, member, unpacked)
            if not why:
                samples[name.key] = sample
        if why:
            others.append(f"{where} ({why})")
    return samples


def _hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in {".", ".."} for part in name.split("/"))


def _take(sample: Sample, extension: str, where: str, member: Member, unpacked: Unpacked) -> str | None:
    """Put a file into its sample; or why it does not belong there."""
    has_json = extension == "json" and sample.values is not None
    if has_json or extension in sample.images or extension in sample.texts:
        raise InputError(f"{where}: occurs twice, expected each file of a sample once")
    kind = extension.rpartition(".")[2]
    if f".{kind}" in image_list.SUFFIXES:
        sample.images[extension] = where, unpacked.put(member.chunks, where, member.size)
    elif kind in TEXTS:
        sample.texts[extension] = _text(where, member)
    elif extension == "json":
        sample.values = read_object(_text(where, member), where)
    else:
        return "a pickle, which is never read" if kind in PICKLES else "neither image nor text"
    return None


def _text(where: str, member: Member) -> str:
    if member.size > MAX_TEXT:
        raise InputError(f"{where}: {member.size:,} bytes, expected a text of at most {MAX_TEXT:,}")
    try:
        return b"".join(member.chunks).decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise InputError(f"{where}: not UTF-8") from None


def _listed(where: str, sample: Sample, unpacked: Unpacked, image: str | None, prompt: str | None) -> ListedImage:
    found = [image.lower()] if image else list(sample.images)
    if len(found) > 1 or found[0] not in sample.images:
        has = f"has the images {brief(', '.join(sample.images))}"
        raise InputError(f"{where}: {has}, expected {image or 'one; --image-column says which'}")
    name, path = sample.images[found[0]]
    columns, texts = dict(sample.values or {}), dict(sample.texts)
    text = _prompt(where, columns, texts, prompt)
    for extension, value in texts.items():
        column = extension
        while column in columns:
            column = f".{column}"
        columns[column] = value
    return ListedImage(name, path, text, as_json(columns), unpacked)


def _prompt(where: str, columns: dict[str, Any], texts: dict[str, str], prompt: str | None) -> str:
    """Taken away from where it stands."""
    if prompt is None and "txt" in texts:
        return texts.pop("txt")
    for key in (prompt,) if prompt else PROMPTS:
        if key in columns:
            text = columns.pop(key)
            if text is not None and not isinstance(text, str):
                raise InputError(f"{where}: {key} is a {type(text).__name__}, expected text")
            return text or ""
    if prompt and prompt not in texts:
        has = brief(", ".join((*columns, *texts))) or "none"
        raise InputError(f"{where}: expected {prompt}, a key of its JSON or an extension; it has {has}")
    return texts.pop(prompt) if prompt else ""
