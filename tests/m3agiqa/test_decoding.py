"""Batches that are read and decoded for a cluster: as one process reads them, and without what scores."""

import os
import subprocess
import sys
from pathlib import Path

from m3agiqa.decoding import Batch, decoded, read
from m3agiqa.given import Opened
from tests.tiny_mllm import picture

ROOT = Path(__file__).parents[2]


def test_it_loads_no_torch():
    """Of a decoder there is one for each CPU of a cluster."""
    code = "import sys, m3agiqa.decoding; print({'torch', 'transformers', 'ray'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_what_is_read_is_what_one_process_reads(tmp_path, monkeypatch):
    """By a process that works in another folder: images, and what is wrong with others, in the same words."""
    picture(1).save(tmp_path / "a.png")
    (tmp_path / "bad.png").write_text("no image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    names = ["a.png", "bad.png", "empty.png", "folder.png", "gone.png", "x" * 5000, "null\0.png"]
    images = [(Path(name), "a cube") for name in names] + [(tmp_path / "a.png", "no text: \udcff")]
    monkeypatch.chdir(tmp_path)
    expected = [Opened.of(*image) for image in images]
    assert [bool(each.failure) for each in expected] == [False] + [True] * 7
    monkeypatch.chdir(ROOT)
    batch = Batch(0, tmp_path, images, [["quality"]] * len(images))
    found = decoded(read({"item": batch}))["item"].opened
    assert Path.cwd() == ROOT
    assert found == expected
    assert os.fspath(tmp_path) not in "".join(each.failure for each in found)
