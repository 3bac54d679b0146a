"""A clone in miniature for the Makefile: make reads it, and every program that it starts there is a fake."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Answers like a Python of the version in `fake_version` beside it, notes what it is asked, makes a .venv like itself.
# What reads a lock it asks a real one.
FAKE = """#!/bin/sh
here=$(dirname "$0")
echo "$0 $*" >> "$PYTHON_LOG"
case "$1 $2" in
  "-c from dvc."*) exec "$REAL_PYTHON" "$@" ;;
  "-c "*) cat "$here/fake_version" ;;
  "-m json.tool") exec "$REAL_PYTHON" "$@" ;;
  "-m venv") mkdir -p .venv/bin && cp "$here/fake_version" .venv/bin && cp "$0" .venv/bin/python ;;
esac
"""


def clone_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with the Makefile and what it reads; what its programs are asked is noted beside it."""
    clone = folder / "a clone"
    clone.mkdir()
    for file in (ROOT / "Makefile", *ROOT.glob("*.txt")):
        shutil.copy(file, clone)
    subprocess.run(["git", "init", "--quiet", clone], check=True)
    monkeypatch.setenv("PYTHON_LOG", str(folder / "log"))
    monkeypatch.setenv("REAL_PYTHON", sys.executable)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder))
    for name in ("MAKEFLAGS", "MAKELEVEL", "PYTHON"):
        monkeypatch.delenv(name, raising=False)
    return clone


def python(folder: Path, version: str, name: str = "python3") -> Path:
    """A fake one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fake_version").write_text(f"{version}\n")
    (folder / name).write_text(FAKE)
    (folder / name).chmod(0o755)
    return folder / name


def venv(clone: Path, version: str) -> None:
    """A fake one, with everything installed."""
    python(clone / ".venv/bin", version, "python")
    (clone / ".venv/bin/made").write_text(f"{clone}\n")
    for stamp in ("installed", "installed-dev", "installed-demo"):
        (clone / ".venv/bin" / stamp).touch()


def make(clone: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({"PATH": path} if path else {})
    program = shutil.which("make")
    return subprocess.run(
        [program, *arguments], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )


def asked(clone: Path) -> str:
    log = clone.parent / "log"
    return log.read_text() if log.exists() else ""
