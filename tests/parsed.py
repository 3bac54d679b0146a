"""YAML that is not parsed again: ruamel.yaml is pure Python, and DVC reads the same few files many times a command."""

import os
import pickle
from hashlib import sha256
from pathlib import Path
from threading import get_ident
from typing import Any

from ruamel.yaml import YAML


def remember(folder: Path) -> None:
    """From now on this process, and whoever it forks, finds in `folder` what a text says."""
    parse = YAML.load

    def load(yaml: YAML, stream: Any) -> Any:
        if yaml.typ != ["safe"]:  # "rt" keeps comments, and is for changing files
            return parse(yaml, stream)
        source = stream.read_bytes if isinstance(stream, Path) else getattr(stream, "read", lambda: stream)
        text = source()
        kept = folder / sha256(text.encode() if isinstance(text, str) else text).hexdigest()
        if kept.exists():
            return pickle.loads(kept.read_bytes())  # noqa: S301 (our own)
        found = parse(yaml, text)
        new = kept.with_suffix(f".{os.getpid()}-{get_ident()}")
        new.write_bytes(pickle.dumps(found))
        new.replace(kept)
        return found

    YAML.load = load
