"""Images that stand inside other files."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.tiny_mllm import picture


def png(seed: int) -> bytes:
    """A picture as a file's content."""
    with io.BytesIO() as file:
        picture(seed).save(file, "PNG")
        return file.getvalue()


def tar(path: Path, files: Mapping[str, bytes], *, compression: str = "") -> Path:
    """A tar of plain files; `compression` is gz, bz2 or xz."""
    with tarfile.open(path, f"w:{compression}") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path
